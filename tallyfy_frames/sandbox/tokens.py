"""The token route, and which access tokens live. In the shapes of the documentation; where it is silent, as RFC 6749 says.

The world's personal token has no end of its own. Those that the route gives end after ``lifetime_s``, and after
``uses`` requests, of which the answer says nothing: as after a log-out, or a change of the secret.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from tallyfy_frames.sandbox.facts import hex_id
from tallyfy_frames.sandbox.routes import Refused
from tallyfy_frames.sandbox.world import World

WEEK_S: Final = 604_800.0  # of an application's token, says the documentation
USER_DATA: Final = frozenset({"runs", "tasks", "checklists"})  # which an application may not read, says one of its pages
FORM: Final = "application/x-www-form-urlencoded"


@dataclass(slots=True)
class Issued:
    """An access token that the route gave; ``used`` counts the requests that it let in."""

    text: str
    ends_s: float  # monotonic clock
    own: bool  # of the application itself, not of a user
    used: int = 0
    ended: bool = False


class Tokens:
    """One application: its id and secret, a user's refresh token for it, and what was issued."""

    def __init__(self, world: World, quirks: Collection[str], uses: int | None, lifetime_s: float) -> None:
        """Derive them from the world's seed."""
        self.world = world
        self.quirks = quirks
        self.uses = uses
        self.lifetime_s = lifetime_s
        self.client_id = str(4000 + world.seed)
        self.client_secret = self.text("client-secret", 2)
        self.refreshes = 0
        self.issued: dict[str, Issued] = {}

    def text(self, name: str, parts: int = 25) -> str:
        """A secret that the seed makes."""
        return f"{name}-" + "".join(hex_id(self.world.seed, name, part) for part in range(parts))

    @property
    def refresh_token(self) -> str:
        """The one that is good now: each is good for one use."""
        return self.text(f"refresh-{self.refreshes}")

    def admits(self, authorization: str) -> bool:
        """Whether a token lives; one request of it is used."""
        text = authorization.removeprefix("Bearer ")
        if text == authorization:
            return False
        if text == self.world.token:
            return True
        one = self.issued.get(text)
        if one is None or one.ended or time.monotonic() >= one.ends_s or one.used == self.uses:
            return False
        one.used += 1
        return True

    def demand_rights(self, authorization: str, path: Sequence[str]) -> None:
        """What an application may read by itself, on which sources disagree."""
        one = self.issued.get(authorization.removeprefix("Bearer "))
        if one is None or not one.own or path[:1] != ["organizations"]:
            return
        if "application-foreign" in self.quirks:
            raise Refused(403, {"error": True, "message": "The application lacks permissions for this organization."})
        if "application-no-user-data" in self.quirks and USER_DATA & {*path[2:3]}:
            raise Refused(403, {"message": "This action is unauthorized."})

    def answer(self, content_type: str, body: bytes, *, revoked: bool = False) -> dict[str, Any]:
        """What the route says to a form."""
        if content_type.partition(";")[0].strip().lower() != FORM:
            raise Refused(400, {"error": "invalid_request", "message": "The request must be form-encoded."})
        form = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        # An id that is no number is refused in the same words.
        if revoked or (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            raise Refused(401, {"error": "invalid_client", "message": "Client authentication failed"})
        match form.get("grant_type"):
            case "client_credentials":
                return self.given(own=True)
            case "refresh_token":
                return self.refreshed(form.get("refresh_token", ""))
        raise Refused(400, {"error": "unsupported_grant_type", "error_description": "The grant type is not supported."})

    def refreshed(self, given: str) -> dict[str, Any]:
        """A new token of the user's, instead of all that there were; and another refresh token."""
        if given != self.refresh_token:
            raise Refused(400, {"error": "invalid_grant", "error_description": "The refresh token is invalid."})
        for one in self.issued.values():
            one.ended |= not one.own
        if "refresh-stays" in self.quirks:
            return self.given(own=False)
        self.refreshes += 1
        return {**self.given(own=False), "refresh_token": self.refresh_token}

    def given(self, *, own: bool) -> dict[str, Any]:
        """A new access token."""
        one = Issued(self.text(f"access-{len(self.issued) + 1}"), time.monotonic() + self.lifetime_s, own)
        self.issued[one.text] = one
        lasts = {} if "expires-unsaid" in self.quirks else {"expires_in": int(self.lifetime_s)}
        return {"token_type": "Bearer", **lasts, "access_token": one.text}
