"""Being given a token, by literals: what is asked, and what each answer means."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest

import tallyfy_frames as tf
from tallyfy_frames.api.grant import form, read, refusal, renew_after_s
from tallyfy_frames.api.protocol import Reply
from tallyfy_frames.settings import Secret

NOW = datetime(2031, 1, 1, tzinfo=UTC)
URL = "https://go.tallyfy.com/api/oauth/token"
SETTINGS = tf.Settings(client_id="4711", client_secret="s", org_id="0f")


def answer(body: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def test_an_application_asks_with_its_own_credentials_and_for_a_user_with_the_refresh_token() -> None:
    application = {"client_id": "4711", "client_secret": "s"}
    assert form(SETTINGS, None) == {"grant_type": "client_credentials", **application, "scope": "*"}
    assert form(SETTINGS, Secret("r")) == {"grant_type": "refresh_token", **application, "refresh_token": "r"}


@pytest.mark.parametrize(
    ("body", "access", "lasts_s", "refresh"),
    [
        ({"token_type": "Bearer", "expires_in": 604800, "access_token": "ey.a"}, "ey.a", 604800, None),
        ({"token_type": "bearer", "expires_in": "3600", "access_token": "ey.a", "refresh_token": "r"}, "ey.a", 3600, "r"),
        ({"access_token": "ey.a", "expires_in": 0.5}, "ey.a", 0.5, None),
        ({"access_token": "ey.a"}, "ey.a", math.inf, None),
        ({"access_token": "ey.a", "expires_in": None, "expire": 5, "refresh_token": ""}, "ey.a", math.inf, None),
        ({"access_token": "ey.a", "expires_in": 0}, "ey.a", math.inf, None),
        ({"access_token": "ey.a", "expires_in": -5, "refresh_token": 7}, "ey.a", math.inf, None),
        ({"access_token": "ey.a", "expires_in": True, "refresh_token": "two words"}, "ey.a", math.inf, None),
        ({"access_token": "ey.a", "expires_in": "soon"}, "ey.a", math.inf, None),
    ],
)
def test_a_token_is_read_with_its_life_as_stated_and_without_one_lasts_until_it_is_refused(
    body: dict[str, Any], access: str, lasts_s: float, refresh: str | None
) -> None:
    token = read(answer(body), url=URL)
    assert (token.access.reveal(), token.lasts_s) == (access, lasts_s)
    assert token.refresh == (None if refresh is None else Secret(refresh))
    assert access not in repr(token)


@pytest.mark.parametrize(
    ("body", "says", "again"),
    [
        (b"<html>ey.a</html>", "the body is no JSON object", True),
        (b'{"access_token": "ey.a"', "the body is no JSON object", True),
        (b"", "the body is no JSON object", True),
        (["ey.a"], "the body is no JSON object", True),
        ({"token_type": "Bearer", "expires_in": 5}, "without an access token", True),
        ({"access_token": None}, "without an access token", True),
        ({"access_token": "ey.a ey.a"}, "without an access token", True),
        ({"access_token": "ey.a\n"}, "without an access token", True),
        ({"access_token": "ey.a", "token_type": "mac"}, "with another kind of token than a bearer's", False),
        ({"access_token": "ey.a", "token_type": None}, "with another kind of token than a bearer's", False),
    ],
)
def test_an_answer_without_a_token_that_can_be_used_is_an_error_that_repeats_nothing_of_it(
    body: Any, says: str, *, again: bool
) -> None:
    with pytest.raises(tf.DecodeError, match=says) as caught:
        read(answer(body), url=URL)
    assert "ey.a" not in str(caught.value)
    assert "TALLYFY_TOKEN_URL" in str(caught.value)
    assert caught.value.retriable is again
    for entry in caught.traceback[1:]:
        assert "ey.a" not in repr(entry.locals), entry.name


@pytest.mark.parametrize(
    ("lasts_s", "after_s"), [(604800.0, 604740.0), (600.0, 540.0), (100.0, 90.0), (1.0, 0.9), (math.inf, math.inf)]
)
def test_a_token_is_renewed_a_minute_before_its_end_or_a_tenth_of_its_life(lasts_s: float, after_s: float) -> None:
    assert renew_after_s(lasts_s) == after_s


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (401, {"error": "invalid_client"}, tf.SignInError, "invalid_client (.*); check TALLYFY_CLIENT_ID .it is a number"),
        (401, {"error": "invalid_client", "message": "Client authentication failed"}, tf.SignInError, "authentication failed"),
        (
            400,
            {"error": "invalid_grant", "error_description": "revoked"},
            tf.SignInError,
            "revoked.*the refresh token has ended",
        ),
        (400, b"", tf.SignInError, "no access token (.*)"),
        (403, {"message": "missing application permissions"}, tf.SignInError, "missing.*belong to another organization"),
        (404, b"<html>", tf.SignInError, "set TALLYFY_TOKEN_URL: the docs name https://go.tallyfy.com/api/oauth/token"),
        (405, {"error": True}, tf.SignInError, "set TALLYFY_TOKEN_URL"),
        (302, b"", tf.SignInError, "redirects are never followed"),
        (429, {"message": "slow down"}, tf.RateLimited, "slow down"),
        (500, {"message": "SQLSTATE"}, tf.ServerError, "the token route failed"),
        (503, b"", tf.ServerError, "the token route failed"),
    ],
)
def test_a_refusal_says_what_to_try(status: int, body: Any, kind: type[tf.TallyfyFramesError], says: str) -> None:
    error = refusal(answer(body, status, **{"retry-after": "7"}), url=URL, refreshing=False, now=NOW)
    assert type(error) is kind
    with pytest.raises(kind, match=says.replace("(.*)", r"\(.*\)")):
        raise error
    assert "SQLSTATE" not in str(error)
    assert (error.where["status"], error.where["url"]) == (status, URL)
    assert error.retriable is (status >= 429)
    assert not isinstance(error, tf.RateLimited) or error.retry_after_s == 7


def test_where_the_answer_names_no_culprit_a_refresh_token_is_one() -> None:
    def hint(word: str, *, refreshing: bool) -> str:
        error = refusal(answer({"error": word}, 401), url=URL, refreshing=refreshing, now=NOW)
        return error.hint or ""

    assert "the refresh token has ended" in hint("invalid_request", refreshing=True)
    assert "the refresh token has ended" not in hint("invalid_request", refreshing=False)
    assert "the refresh token has ended" not in hint("invalid_client", refreshing=True)
