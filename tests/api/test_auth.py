"""Requests signed with a token that lives, over a transport that answers as an application's token route and API would."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from conftest import FakeClock

import tallyfy_frames as tf
from tallyfy_frames.api.protocol import Reply, Request
from tallyfy_frames.api.transport import Client

SECRET = "secret-0123456789"
ASKED = Request(("organizations", "0f", "runs"), (("page", "1"),))
URL = "https://account.tallyfy.com/oauth/token"


def settings(**changes: Any) -> tf.Settings:
    given = {
        "client_id": "4711", "client_secret": SECRET, "org_id": "0f", "base_url": "https://api.example.net/api", "token_url": URL,
        "retry_wait_s": 0.001, "attempts": 4,
    }  # fmt: skip
    return tf.Settings(**{**given, **changes})


def body(_: Request, reply: Reply) -> bytes:
    return reply.body


class Service:
    """Gives tokens ``access-1``, ``access-2`` …, and refresh tokens alike; the API takes the newest, unless told otherwise."""

    def __init__(self, *first: httpx.Response | Exception, uses: int | None = None, **said: Any) -> None:
        self.first = list(first)  # what the token route answers before it gives any
        self.said = said
        self.uses = uses
        self.used: Counter[str] = Counter()
        self.given = 0
        self.refresh = "refresh-0"  # the one that is good
        self.forms: list[dict[str, str]] = []
        self.asked: list[httpx.Request] = []
        self.accepts: Callable[[str], bool] = lambda token: token == f"access-{self.given}"
        self.refusal = httpx.Response(401, json={"message": "Unauthenticated."})
        self.lock = threading.Lock()
        self.thinks_s = 0.0  # of a request for a token

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            time.sleep(self.thinks_s)
            with self.lock:
                return self.token(request)
        with self.lock:
            self.asked.append(request)
            token = request.headers["Authorization"].removeprefix("Bearer ")
            if not self.accepts(token) or self.used[token] == self.uses:
                return httpx.Response(self.refusal.status_code, headers=self.refusal.headers, content=self.refusal.content)
            self.used[token] += 1
        return httpx.Response(200, content=b"{}")

    def token(self, request: httpx.Request) -> httpx.Response:
        assert str(request.url) == URL
        assert "Authorization" not in request.headers
        assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert request.headers["Accept"] == "application/json"
        assert request.headers["Host"] == "account.tallyfy.com"
        self.forms.append({name: value for name, (value,) in parse_qs(request.content.decode()).items()})
        if self.first:
            first = self.first.pop(0)
            if isinstance(first, Exception):
                raise first
            return first
        if self.forms[-1].get("refresh_token", self.refresh) != self.refresh:
            return httpx.Response(400, json={"error": "invalid_grant"})
        self.given += 1
        if "refresh_token" not in self.said:  # else it stays
            self.refresh = f"refresh-{self.given}"
        said = {"token_type": "Bearer", "expires_in": 604800, "access_token": f"access-{self.given}"}
        if self.forms[-1]["grant_type"] == "refresh_token":
            said["refresh_token"] = f"refresh-{self.given}"
        return httpx.Response(200, json={**said, **self.said})

    @property
    def grants(self) -> list[str]:
        return [form.get("refresh_token", form["grant_type"]) for form in self.forms]


@contextlib.contextmanager
def client_of(service: Service, **changes: Any):
    with Client(settings(**changes), transport=httpx.MockTransport(service)) as client:
        yield client


def test_one_token_signs_every_request_of_every_client_until_shortly_before_its_end(clock: FakeClock) -> None:
    service = Service(expires_in=600)
    for _ in range(2):
        with client_of(service) as client:
            client.ask(ASKED, body)
    clock.time_s += 539
    with client_of(service) as client:
        client.ask(ASKED, body)
        assert service.given == 1
        clock.time_s += 1
        client.ask(ASKED, body)
        assert client.traffic.requests == 3, "two of the list, one for a token"
    assert [sent.headers["Authorization"] for sent in service.asked] == ["Bearer access-1"] * 3 + ["Bearer access-2"]
    assert (
        service.forms == [{"grant_type": "client_credentials", "client_id": "4711", "client_secret": SECRET, "scope": "*"}] * 2
    )


def test_a_token_whose_end_is_not_stated_is_used_until_it_is_refused(clock: FakeClock) -> None:
    service = Service(expires_in=None, uses=3)
    with client_of(service) as client:
        for _ in range(7):
            clock.time_s += 10_000_000
            assert client.ask(ASKED, body) == b"{}"
    assert service.used == {"access-1": 3, "access-2": 3, "access-3": 1}
    assert len(service.asked) == 9, "each refused request was sent once more"


def test_a_second_401_is_an_error_that_says_what_to_do() -> None:
    service = Service()
    service.accepts = lambda _: False
    with client_of(service) as client, pytest.raises(tf.AuthError, match="the API refuses a new token, too") as caught:
        client.ask(ASKED, body)
    assert (service.given, len(service.asked)) == (2, 2)
    assert caught.value.where["status"] == 401
    assert tf.errors.exit_code(caught.value) == 3


def test_a_request_that_is_overtaken_by_the_end_of_the_token_it_renewed_is_not_lost() -> None:
    """Others used the second token up before the request that had asked for it was sent."""
    service = Service()
    with client_of(service) as client:
        client.ask(ASKED, body)

        def accepts(token: str) -> bool:
            if token == "access-2" and len(service.asked) == 3:
                client._tokens._token.worked = True  # noqa: SLF001 - what the others' answers told
                return False
            return token not in {"access-1", "access-2"}

        service.accepts = accepts
        assert client.ask(ASKED, body) == b"{}"
    assert service.given == 3


def test_a_route_that_refuses_every_token_does_not_ask_for_tokens_for_ever() -> None:
    service = Service()
    service.accepts = lambda _: False
    with client_of(service) as client:
        tokens = client._tokens  # noqa: SLF001

        def refuse(_: str) -> bool:
            tokens._token.worked = True  # noqa: SLF001 - on other routes
            return False

        service.accepts = refuse
        with pytest.raises(tf.AuthError):
            client.ask(ASKED, body)
    assert service.given == 4


@pytest.mark.parametrize("old", [None, "refused", "past its time"])
def test_eight_threads_that_meet_no_token_or_a_dead_one_ask_for_one_once(old: str | None) -> None:
    service = Service(**{"expires_in": 0.2} if old == "past its time" else {})
    service.thinks_s = 0.05
    with client_of(service) as client, ThreadPoolExecutor(8) as crowd:
        asked = 1
        if old is not None:
            client.ask(ASKED, body)
            asked = 2
        if old == "refused":
            service.accepts = lambda token: token == "access-2"
        if old == "past its time":
            time.sleep(0.2)
            service.said = {}
        together = threading.Barrier(8)

        def ask(_: int) -> bytes:
            together.wait()
            return client.ask(ASKED, body)

        assert list(crowd.map(ask, range(8))) == [b"{}"] * 8
    assert len(service.forms) == asked


def test_those_who_wait_for_a_token_that_is_refused_hear_the_refusal_and_do_not_ask_again() -> None:
    service = Service(*[httpx.Response(401, json={"error": "invalid_client"})] * 8)
    service.thinks_s = 0.2
    with client_of(service) as client, ThreadPoolExecutor(8) as crowd:
        together = threading.Barrier(8)

        def ask(_: int) -> str:
            together.wait()
            with pytest.raises(tf.SignInError) as caught:
                client.ask(ASKED, body)
            return str(caught.value)

        said = set(crowd.map(ask, range(8)))
    assert len(said) == 1
    assert len(service.forms) == 1
    assert service.asked == []


def test_a_client_that_is_ended_while_it_asks_does_not_end_another_that_waits_for_the_same_token() -> None:
    service = Service(httpx.ConnectError("cut"))
    service.thinks_s = 0.2
    with client_of(service) as goes_on, ThreadPoolExecutor(2) as crowd:
        ended = Client(settings(), transport=httpx.MockTransport(service))
        first = crowd.submit(ended.ask, ASKED, body)
        time.sleep(0.05)
        second = crowd.submit(goes_on.ask, ASKED, body)
        time.sleep(0.05)
        ended.__exit__(None, None, None)
        with pytest.raises(tf.ServerError, match="the conversation was ended"):
            first.result()
        assert second.result() == b"{}"


def test_what_may_pass_is_tried_again_for_a_token_too() -> None:
    broken = [httpx.Response(500), httpx.ConnectError("x"), httpx.Response(502), httpx.Response(200, content=b"<html>")]
    for first, second in pairwise(broken):
        service = Service(first, second)
        with client_of(service, client_id=f"{broken.index(first)}") as client:
            assert client.ask(ASKED, body) == b"{}"
            assert (client.traffic.requests, client.traffic.retries) == (4, 2)
        assert (len(service.forms), len(service.asked)) == (3, 1)


def test_what_does_not_pass_names_the_token_route() -> None:
    service = Service(*[httpx.ConnectError("x")] * 4)
    with client_of(service) as client, pytest.raises(tf.ServerError, match="TALLYFY_TOKEN_URL") as caught:
        client.ask(ASKED, body)
    assert caught.value.where == {"url": URL, "attempt": "4 of 4"}


def test_a_429_for_a_token_is_waited_for_like_any_other(clock: FakeClock) -> None:
    service = Service(*[httpx.Response(429, headers={"Retry-After": "7"})] * 2)
    with client_of(service) as client:
        assert client.ask(ASKED, body) == b"{}"
        assert client.traffic.throttled == 2
    assert clock.time_s >= 1014
    service = Service(httpx.Response(429, headers={"Retry-After": "3000"}))
    with client_of(service, client_id="2") as client, pytest.raises(tf.RateLimited) as caught:
        client.ask(ASKED, body)
    assert (caught.value.retry_after_s, caught.value.where["url"]) == (3000, URL)


def test_an_answer_to_the_request_for_a_token_has_the_same_limit_of_size_and_is_not_followed_elsewhere() -> None:
    service = Service(httpx.Response(200, content=b" " * 5000))
    with client_of(service, max_answer_bytes=1000) as client, pytest.raises(tf.DecodeError, match="larger than 1000 bytes"):
        client.ask(ASKED, body)
    service = Service(httpx.Response(307, headers={"Location": "https://elsewhere.example/"}))
    with client_of(service) as client, pytest.raises(tf.SignInError, match="redirects are never followed"):
        client.ask(ASKED, body)
    assert len(service.forms) == 1


def test_a_token_of_another_kind_is_asked_for_once() -> None:
    service = Service(token_type="mac")
    with client_of(service) as client, pytest.raises(tf.DecodeError, match="another kind of token"):
        client.ask(ASKED, body)
    assert (len(service.forms), service.asked) == (1, [])


def test_a_403_says_that_an_applications_own_token_may_not_do() -> None:
    for changes, told in (({}, True), ({"refresh_token": "refresh-0"}, False)):
        service = Service()
        service.accepts, service.refusal = (
            lambda _: False,
            httpx.Response(403, json={"message": "This action is unauthorized."}),
        )
        with client_of(service, **changes) as client, pytest.raises(tf.AuthError) as caught:
            client.ask(ASKED, body)
        assert ("one source says that an application's own token may not read runs" in str(caught.value)) is told
        assert len(service.forms) == 1, "another token would be refused as well"


def test_each_refresh_token_is_used_once_in_the_process_and_the_next_one_lies_in_the_file_before_the_request_is_sent(
    tmp_path: Path,
) -> None:
    place = tmp_path / "refresh"
    place.write_text("refresh-0\n")
    service = Service(uses=2)
    seen: list[str] = []
    accepts = service.accepts
    service.accepts = lambda token: bool(seen.append(place.read_text().strip())) or accepts(token)
    for _ in range(3):
        with client_of(service, refresh_token="refresh-0", refresh_token_file=place) as client:
            client.ask(ASKED, body)
            client.ask(ASKED, body)
    for refresh_token in (place.read_text(), "refresh-0"):  # of a job that begins now, and of one that goes on
        with client_of(service, refresh_token=refresh_token, refresh_token_file=place) as client:
            for _ in range(3):
                client.ask(ASKED, body)
    assert service.grants == [f"refresh-{number}" for number in range(6)]
    assert place.read_text() == "refresh-6\n"
    assert seen[0] == "refresh-1"


def test_a_refresh_token_that_does_not_change_stays(tmp_path: Path) -> None:
    for said in ("refresh-0", None):
        service = Service(uses=1, refresh_token=said)
        with client_of(service, refresh_token="refresh-0", refresh_token_file=tmp_path / "none") as client:
            client.ask(ASKED, body)
            client.ask(ASKED, body)
        assert service.grants[-1] == "refresh-0"
    assert not (tmp_path / "none").exists()


def test_a_refresh_token_that_cannot_be_kept_is_a_warning_without_it_and_is_used_all_the_same(tmp_path: Path) -> None:
    place = tmp_path / "folder"
    place.mkdir()
    service = Service(uses=1)
    with client_of(service, refresh_token="refresh-0", refresh_token_file=place) as client:
        with pytest.warns(tf.TallyfyFramesWarning, match="a new refresh token could not be kept") as warned:
            client.ask(ASKED, body)
        assert str(place) in str(warned[0].message)
        assert "refresh-1" not in str(warned[0].message)
        with pytest.warns(tf.TallyfyFramesWarning, match="could not be kept"):
            assert client.ask(ASKED, body) == b"{}"
    assert service.grants == ["refresh-0", "refresh-1"]


ACCESS, REFRESH, OLD = "ey.access/1+2", "ref.resh/1+2", "ref.resh/0+1"
SECRETS = (ACCESS, REFRESH, OLD, SECRET)


def failing(answers: Callable[[httpx.Request], httpx.Response]) -> str:
    """All that a traceback with the value of every local variable of ours would show, and the error with its facts."""
    changes = {"refresh_token": OLD, "attempts": 1}
    with Client(settings(**changes), transport=httpx.MockTransport(answers)) as client:
        with pytest.raises(tf.TallyfyFramesError) as caught:
            client.ask(ASKED, body)
        shown, error = repr(vars(caught.value)), caught.value
        while error is not None:
            told = traceback.TracebackException.from_exception(error, capture_locals=True)
            ours = [frame for frame in told.stack if "tallyfy_frames" in frame.filename]
            shown += "".join(traceback.StackSummary.from_list(ours).format()) + str(error)
            shown += "".join(f"{frame.locals}" for frame in ours)
            error = error.__cause__ or error.__context__
    return shown


def echo(status: int) -> Callable[[httpx.Request], httpx.Response]:
    """Repeats whatever it was sent, in the words of a form and in those of JSON."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            sent = {name: value for name, (value,) in parse_qs(request.content.decode()).items()}
            return httpx.Response(status, json={"error": request.content.decode(), "message": str(sent)})
        raise AssertionError

    return answer


def then(answer: httpx.Response | Exception) -> Callable[[httpx.Request], httpx.Response]:
    """A token, and then that answer of the API."""

    def answers(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, json={"access_token": ACCESS, "token_type": "Bearer", "refresh_token": REFRESH})
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content)

    return answers


def no_token(**said: Any) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(200, json={"access_token": ACCESS, "refresh_token": REFRESH, **said})


@pytest.mark.parametrize(
    "answers",
    [
        *map(echo, (400, 401, 403, 404, 429, 500, 302)),
        no_token(token_type="mac"),
        no_token(access_token=None),
        no_token(access_token=f"{ACCESS} {ACCESS}"),
        *(then(httpx.Response(status, json={"message": " ".join(SECRETS)})) for status in (400, 401, 403, 422, 500)),
        then(httpx.ConnectError("x")),
    ],
)  # fmt: skip
def test_no_secret_is_in_an_error_a_frame_on_its_way_or_a_log(
    answers: Callable[[httpx.Request], httpx.Response], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="tallyfy_frames")
    shown = failing(answers) + caplog.text
    assert "4711" in shown or "oauth" in shown, "something is shown"
    for secret in SECRETS:
        assert secret not in shown
        assert secret.replace("/", "\\/") not in shown
        assert secret.replace("/", "%2F").replace("+", "%2B") not in shown
