"""JSON rows → valid frames. Pure; the three files are strangers to one another."""
