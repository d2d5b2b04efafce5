"""Snapshots over time: staged, checked, published by one rename, read back."""
