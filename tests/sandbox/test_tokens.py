"""The token route of the stand-in: the documented shapes, and how tokens end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tallyfy_frames.sandbox import Sandbox, World

Serve = Callable[..., Sandbox]


def post(sandbox: Sandbox, path: str = "/oauth/token", *, json: Any = None, **form: str) -> httpx.Response:
    """With the fields of the application, unless others are given."""
    application = {"client_id": sandbox.tokens.client_id, "client_secret": sandbox.tokens.client_secret}
    with httpx.Client(trust_env=False, base_url=sandbox.base_url.removesuffix("/api")) as client:
        return client.post(path, json=json) if json else client.post(path, data={**application, **form})


def get(sandbox: Sandbox, answer: httpx.Response, path: str = "runs") -> int:
    headers = {
        "Authorization": f"{answer.json()['token_type']} {answer.json()['access_token']}",
        "Accept": "application/json",
        "X-Tallyfy-Client": "APIClient",
    }
    with httpx.Client(trust_env=False, headers=headers) as client:
        return client.get(f"{sandbox.base_url}/organizations/{sandbox.org_id}/{path}").status_code


@pytest.fixture
def small(serve: Serve) -> Callable[..., Sandbox]:
    return lambda **options: serve(world=World(1, 3), **options)


@pytest.mark.parametrize("path", ["/oauth/token", "/api/oauth/token"])
def test_an_application_gets_a_token_of_a_week_and_no_refresh_token(small: Serve, path: str) -> None:
    sandbox = small()
    answer = post(sandbox, path, grant_type="client_credentials", scope="*")
    assert answer.status_code == 200
    assert {**answer.json(), "access_token": "…"} == {"token_type": "Bearer", "expires_in": 604800, "access_token": "…"}
    assert get(sandbox, answer) == 200
    assert [(entry.method, entry.path, entry.status) for entry in sandbox.token_requests] == [("POST", path, 200)]
    assert [entry.method for entry in sandbox.requests] == ["GET"], "the log of the API is its own"


def test_a_refresh_token_is_good_once_brings_the_next_and_ends_the_users_tokens(small: Serve) -> None:
    sandbox = small()
    first = sandbox.tokens.refresh_token
    one = post(sandbox, grant_type="refresh_token", refresh_token=first)
    assert get(sandbox, one) == 200
    again = post(sandbox, grant_type="refresh_token", refresh_token=first)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    two = post(sandbox, grant_type="refresh_token", refresh_token=one.json()["refresh_token"])
    assert (get(sandbox, one), get(sandbox, two)) == (401, 200)
    stays = small(quirks=["refresh-stays"])
    for _ in range(2):
        answer = post(stays, grant_type="refresh_token", refresh_token=stays.tokens.refresh_token)
        assert "refresh_token" not in answer.json()


@pytest.mark.parametrize(
    ("sent", "status", "word"),
    [
        ({"json": {"grant_type": "client_credentials"}}, 400, "invalid_request"),
        ({"grant_type": "client_credentials", "client_secret": "other"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_id": "one"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({}, 400, "unsupported_grant_type"),
    ],
)
def test_what_is_wrong_is_refused_in_the_words_of_the_documentation(
    small: Serve, sent: dict[str, Any], status: int, word: str
) -> None:
    answer = post(small(), **sent)
    assert (answer.status_code, answer.json()["error"]) == (status, word)


def test_a_token_ends_after_its_time_or_so_many_requests_and_a_log_out_ends_them_all(small: Serve) -> None:
    worn = small(token_uses=2)
    answer = post(worn, grant_type="client_credentials")
    assert [get(worn, answer) for _ in range(3)] == [200, 200, 401]
    late = small(token_lifetime_s=0)
    assert get(late, post(late, grant_type="client_credentials")) == 401
    out = small()
    answer = post(out, grant_type="client_credentials")
    out.revoked = True
    assert get(out, answer) == 401
    assert post(out, grant_type="client_credentials").status_code == 401


def test_what_an_applications_own_token_may_read_is_a_quirk(small: Serve) -> None:
    for quirk, runs, users in ((None, 200, 200), ("application-no-user-data", 403, 200), ("application-foreign", 403, 403)):
        sandbox = small(quirks=[quirk] if quirk else [])
        own = post(sandbox, grant_type="client_credentials")
        assert (get(sandbox, own), get(sandbox, own, "users")) == (runs, users)
        theirs = post(sandbox, grant_type="refresh_token", refresh_token=sandbox.tokens.refresh_token)
        assert get(sandbox, theirs) == 200
    assert "expires_in" not in post(small(quirks=["expires-unsaid"]), grant_type="client_credentials").json()


def test_a_fault_strikes_the_token_request_of_its_number(small: Serve) -> None:
    sandbox = small(token_faults=["sql-500@1x2"])
    assert [post(sandbox, grant_type="client_credentials").status_code for _ in range(3)] == [500, 500, 200]
    assert [entry.fault for entry in sandbox.token_requests] == ["sql-500", "sql-500", None]
    with pytest.raises(ValueError, match="no fault"):
        small(token_faults=["nonsense"])


def test_other_routes_take_no_post(small: Serve) -> None:
    assert post(small(), "/oauth/authorize", grant_type="client_credentials").status_code == 404
