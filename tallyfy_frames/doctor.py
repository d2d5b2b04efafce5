"""Looks at address, token, organization and rights, and says what to do next. Reads only; a token may be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tallyfy_frames.account import organizations
from tallyfy_frames.api import protocol
from tallyfy_frames.api.transport import Client
from tallyfy_frames.errors import AuthError, NotFound, SettingsError, SignInError, TallyfyFramesError
from tallyfy_frames.settings import ORG_HINT, Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; ``error`` if it is not well, ``advice`` if there is something to do, ``told`` if the API told."""

    what: str
    found: str
    error: TallyfyFramesError | None = None
    advice: str = ""
    told: bool = True

    @property
    def ok(self) -> bool | None:
        """Whether it is well; None where nobody knows."""
        return False if self.error is not None else True if self.told else None


def examine(settings: Settings) -> Iterator[Finding]:
    """Findings in the order of looking; the first with an error is the last."""
    yield Finding("settings", f"organization {settings.org_id} at {settings.base_url}, {_signing_in(settings)}")
    with Client(settings) as client:
        for look in (_address_and_token, _organization, _rights, _runs):
            try:
                yield look(client, settings)
            except TallyfyFramesError as error:
                yield Finding(look.__name__.strip("_").replace("_", " "), error.what, error, error.hint or "")
                return


def _signing_in(settings: Settings) -> str:
    if settings.token is not None:
        return "with a personal access token"
    by = "" if settings.refresh_token is None else " and a user's refresh token"
    return f"as application {settings.client_id}{by}, with tokens from {settings.token_route}"


def _ask(client: Client, *path: str) -> Any:
    return client.ask(protocol.Request(path), protocol.read_item)


def _address_and_token(client: Client, _settings: Settings) -> Finding:
    try:
        _ask(client, "me")
    except (NotFound, AuthError) as error:
        if isinstance(error, SignInError) or error.where.get("status") == 401:
            raise
        # Some tokens may not read this route: the next looks tell more.
        return Finding("address and token", "the address answers; the token's user is not told", told=False)
    return Finding("address and token", "the address answers and the token is accepted")


def _organization(client: Client, settings: Settings) -> Finding:
    try:
        known = organizations(client)
    except (NotFound, AuthError):
        return Finding("organization", "the API does not list this token's organizations", told=False)
    if settings.org_id not in known:
        others = ", ".join(known) or "none"
        raise SettingsError(f"the token's user is not in {settings.org_id}, but in: {others}", hint=ORG_HINT)
    return Finding("organization", f"{known[settings.org_id].get('name')} ({settings.org_id})")


def _rights(client: Client, settings: Settings) -> Finding:
    try:
        me = _ask(client, *protocol.organization(settings.org_id, "me"))
    except (NotFound, AuthError):
        me = None
    role = str(me.get("role") or me.get("type") or "") if isinstance(me, dict) else ""
    if not role:
        advice = "compare the number of runs with what the app shows"
        return Finding("rights", "the API does not tell", advice=advice, told=False)
    advice = "" if role.lower() == "admin" else "only administrators see every run: rows may be missing with no error"
    return Finding("rights", f"role {role}", advice=advice)


def _runs(client: Client, settings: Settings) -> Finding:
    request = protocol.list_request(protocol.organization(settings.org_id, "runs"), {}, page=1, per_page=1, sort=None)

    def read(asked: protocol.Request, reply: protocol.Reply) -> protocol.Page:
        return protocol.read_page(asked, reply, page=1)

    total = client.ask(request, read).stated.total
    count = "an unstated number of" if total is None else f"{total:,}"
    found = f"{count} runs that are not archived"
    return Finding("runs", found, advice="tallyfy-frames load runs --limit 5", told=total is not None)
