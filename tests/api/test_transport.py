"""Sending: headers, retries, waits and limits, over a transport that answers from a list."""

from __future__ import annotations

import contextlib
import gzip
import logging
import socketserver
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import tallyfy_frames as tf
from tallyfy_frames.api.protocol import Reply, Request
from tallyfy_frames.api.transport import Client

TOKEN = "tok-0123456789"
ASKED = Request(("organizations", "0f", "runs"), (("page", "1"),))


def settings(**changes: Any) -> tf.Settings:
    given = {"token": TOKEN, "org_id": "0f", "base_url": "https://api.example.net/api", "retry_wait_s": 0.001, "attempts": 4}
    return tf.Settings(**{**given, **changes})


def body(_: Request, reply: Reply) -> bytes:
    return reply.body


class Answers:
    """Answers requests from a list, the last one for ever; keeps what was asked."""

    def __init__(self, *answers: httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, stream=answer.stream)


def ask(answers: Answers, **changes: Any) -> tuple[bytes, Client]:
    with Client(settings(**changes), transport=httpx.MockTransport(answers)) as client:
        return client.ask(ASKED, body), client


OK = httpx.Response(200, content=b"{}")


def test_every_request_carries_the_three_headers_and_an_honest_name() -> None:
    answers = Answers(OK)
    ask(answers)
    (sent,) = answers.asked
    assert sent.headers["Authorization"] == f"Bearer {TOKEN}"
    assert sent.headers["Accept"] == "application/json"
    assert sent.headers["X-Tallyfy-Client"] == "APIClient"
    assert sent.headers["User-Agent"].startswith("tallyfy-frames/")
    assert str(sent.url) == "https://api.example.net/api/organizations/0f/runs?page=1"


@pytest.mark.parametrize(
    "failure",
    [httpx.Response(502), httpx.Response(500), httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x")],
)
def test_what_may_pass_is_tried_again(failure: httpx.Response | Exception) -> None:
    answers = Answers(failure, failure, OK)
    found, client = ask(answers)
    assert found == b"{}"
    assert (client.traffic.requests, client.traffic.retries) == (3, 2)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 302])
def test_what_will_not_pass_is_asked_once(status: int) -> None:
    answers = Answers(httpx.Response(status, headers={"Location": "https://elsewhere.example/"}))
    with pytest.raises(tf.TallyfyFramesError):
        ask(answers)
    assert len(answers.asked) == 1


def test_a_failure_that_stays_ends_after_all_attempts_and_says_so() -> None:
    answers = Answers(httpx.Response(503))
    with pytest.raises(tf.ServerError, match="attempt=4 of 4"):
        ask(answers)
    assert len(answers.asked) == 4


def test_retry_after_is_waited_for_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    _, client = ask(Answers(httpx.Response(429, headers={"Retry-After": "7"}), OK), retry_wait_s=0)
    assert slept == [7.0]
    assert (client.traffic.throttled, client.traffic.waited_s) == (1, 7.0)


def test_a_wait_longer_than_allowed_raises_at_once_and_states_it() -> None:
    answers = Answers(httpx.Response(429, headers={"Retry-After": "3000"}))
    with pytest.raises(tf.RateLimited) as caught:
        ask(answers)
    assert caught.value.retry_after_s == 3000
    assert len(answers.asked) == 1


def test_an_answer_beyond_the_size_limit_is_refused_even_if_it_is_small_on_the_wire() -> None:
    bomb = httpx.Response(200, content=gzip.compress(b"0" * 3_000_000), headers={"Content-Encoding": "gzip"})
    answers = Answers(bomb)
    with pytest.raises(tf.DecodeError, match="larger than 1000000 bytes"):
        ask(answers, max_answer_bytes=1_000_000)
    assert len(answers.asked) == 1


def test_the_token_is_in_no_error_log_or_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = httpx.Response(400, json={"message": f"bad token {TOKEN}"})
    for failure in (httpx.Response(401, json={"message": TOKEN}), echo, httpx.ConnectError(TOKEN)):
        with pytest.raises(tf.TallyfyFramesError) as caught:
            ask(Answers(failure))
        assert TOKEN not in str(caught.value) + repr(caught.value) + repr(vars(caught.value))
    assert TOKEN not in caplog.text
    for shown in (repr(settings()), str(settings()), f"{settings().token}", repr(settings().token)):
        assert TOKEN not in shown


def test_no_frame_on_the_way_to_an_error_holds_the_token() -> None:
    for fail in (lambda: ask(Answers(httpx.Response(401, json={"message": TOKEN}))), lambda: settings(token=f"Bearer {TOKEN}")):
        with pytest.raises(tf.TallyfyFramesError) as caught:
            fail()
        for entry in caught.traceback:
            if "site-packages" not in str(entry.path) and "test_transport" not in str(entry.path) and entry.name != "__init__":
                assert TOKEN not in repr(entry.locals), entry.name
        assert TOKEN not in repr(caught.value.__cause__) + repr(caught.value.__context__)


def test_a_bomb_packed_twice_is_not_unpacked() -> None:
    bomb = httpx.Response(
        200, content=gzip.compress(gzip.compress(b"0" * 30_000_000)), headers={"Content-Encoding": "gzip, gzip"}
    )
    with pytest.raises(tf.DecodeError, match="packed in a way nobody asked for"):
        ask(Answers(bomb))


def test_an_address_too_long_is_a_filter_error() -> None:
    with (
        Client(settings(), transport=httpx.MockTransport(Answers(OK))) as client,
        pytest.raises(tf.FilterError, match="cannot be sent"),
    ):
        client.ask(Request(("runs",), (("q", "x" * 100_000),)), body)


@pytest.mark.parametrize(("name", "value"), [("HTTPS_PROXY", "bogus://x"), ("SSL_CERT_FILE", "/nonexistent")])
def test_a_proxy_or_ca_setting_that_cannot_work_is_a_settings_error(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(tf.SettingsError, match="proxy or CA settings"):
        Client(settings())


class Drip(socketserver.BaseRequestHandler):
    """Answers a byte at a time, for ever; from the first header, or from the body."""

    def handle(self) -> None:
        self.request.recv(65536)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
        with contextlib.suppress(OSError):
            if self.server.from_body:  # type: ignore[attr-defined]
                self.request.sendall(head)
            while True:
                self.request.sendall(b"x")
                time.sleep(0.02)


@pytest.mark.parametrize("from_body", [True, False], ids=["body", "headers"])
def test_a_drip_that_never_ends_is_cut_at_the_total_limit(from_body: bool) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip) as server:
        server.daemon_threads = True
        server.from_body = from_body  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        began = time.monotonic()
        limits = settings(
            base_url=f"http://127.0.0.1:{server.server_address[1]}", total_timeout_s=0.3, read_timeout_s=5, attempts=1
        )
        with Client(limits) as client, pytest.raises(tf.ServerError, match="no whole answer in"):
            client.ask(ASKED, body)
        assert time.monotonic() - began < 1
        server.shutdown()


@pytest.mark.parametrize("url", ["https://api.example.net", "HTTPS://api.example.net/api", "Https://127.0.0.1/api"])
def test_certificates_are_always_checked(url: str) -> None:
    with Client(settings(base_url=url)) as client:
        assert client._http._transport._pool._ssl_context.verify_mode is ssl.CERT_REQUIRED  # noqa: SLF001


def test_a_netrc_file_supplies_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine api.example.net login someone password else\ndefault login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    answers = Answers(OK)
    ask(answers)
    assert answers.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"
