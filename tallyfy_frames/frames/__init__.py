"""JSON rows → valid frames. Pure; decode, flatten and validate are strangers to one another."""
