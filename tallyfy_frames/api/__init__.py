"""How Tallyfy speaks HTTP. Knows pages, errors and patience; has never heard of a table or a frame."""
