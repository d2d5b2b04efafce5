"""``python -m tallyfy_frames`` is ``tallyfy-frames``."""

from tallyfy_frames.cli import app

if __name__ == "__main__":
    app(prog_name="tallyfy-frames")
