"""A stand-in for the Tallyfy API on loopback, as unkind as the real one. Imports no other room of ours."""

from tallyfy_frames.sandbox.faults import FAULTS, Fault
from tallyfy_frames.sandbox.live import LIVE, Mover
from tallyfy_frames.sandbox.routes import QUIRKS
from tallyfy_frames.sandbox.server import SIGN_INS, Limit, Logged, Sandbox
from tallyfy_frames.sandbox.world import World

__all__ = ["FAULTS", "LIVE", "QUIRKS", "SIGN_INS", "Fault", "Limit", "Logged", "Mover", "Sandbox", "World"]
