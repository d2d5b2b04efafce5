"""Where frames are pushed to."""
