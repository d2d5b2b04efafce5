"""Who we are to the API: the user whose token this is, and the organization."""

from __future__ import annotations

from typing import Any

from tallyfy_frames.api import protocol
from tallyfy_frames.api.transport import Client
from tallyfy_frames.errors import AuthError, NotFound, SignInError
from tallyfy_frames.frames.masking import masked
from tallyfy_frames.settings import Settings


def token_user(settings: Settings) -> int | None:
    """The id of the user whose token this is; None if the API does not tell this token."""
    with Client(settings) as client:
        request = protocol.Request(protocol.organization(settings.org_id, "me"))
        try:
            me = client.ask(request, protocol.read_item)
        except NotFound:
            return None
        except AuthError as error:
            if isinstance(error, SignInError) or error.where.get("status") != 403:
                raise  # a token that is missing; 403 is a right that is
            return None
    user = me.get("id") if isinstance(me, dict) else None
    return int(user) if isinstance(user, int | str) and str(user).isdecimal() else None


def organizations(client: Client) -> dict[str, dict[str, Any]]:
    """Those that the token's user is in, by id, as far as one page holds them."""
    request = protocol.list_request(("me", "organizations"), {}, page=1, per_page=client.settings.page_size, sort=None)
    listed = client.ask(request, protocol.read_item)
    return {str(one.get("id")): one for one in (listed if isinstance(listed, list) else [listed]) if isinstance(one, dict)}


def load_organization(settings: Settings | None = None) -> dict[str, Any]:
    """The organization as the API describes it to its members, secrets masked: ``timezone``, ``working_days`` and more.

    Which keys there are depends on plan and rights; :meth:`tallyfy_frames.measures.Calendar.of` reads it. Raises ``NotFound``
    if the token's user is not in it, and as loads do. Source: ``GET me/organizations``.
    """
    settings = settings or Settings.from_env()
    with Client(settings) as client:
        known = organizations(client)
    if settings.org_id in known:
        found: dict[str, Any] = masked(known[settings.org_id])
        return found
    raise NotFound("the token's user is not in this organization", organization=settings.org_id, hint="tallyfy-frames doctor")
