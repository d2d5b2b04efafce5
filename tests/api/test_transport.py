"""Sending: headers, retries, waits and limits, over a transport that answers from a list."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import logging
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import FakeClock

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


def refused(retry_after: str | None) -> httpx.Response:
    return httpx.Response(429, headers={} if retry_after is None else {"Retry-After": retry_after})


def test_retry_after_is_waited_for_and_counted(clock: FakeClock) -> None:
    _, client = ask(Answers(refused("7"), OK), retry_wait_s=0)
    assert clock.waits == [7.0]
    assert (client.traffic.throttled, client.traffic.waited_s) == (1, 7.0)


def test_a_wait_longer_than_allowed_raises_at_once_and_states_it(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    answers = Answers(refused("3000"))
    with pytest.raises(tf.RateLimited, match=r"retry_after_s=3000.*wait that long, or set Settings\(max_wait_s=…\)") as caught:
        ask(answers)
    assert caught.value.retry_after_s == 3000
    assert (len(answers.asked), clock.waits) == (1, [])
    assert "waiting 3000" not in caplog.text, "it is not waited for"


def test_a_pinned_pace_is_kept_to_however_impatient_and_is_no_wait_that_the_api_asked_for(clock: FakeClock) -> None:
    with Client(settings(max_requests_per_minute=2, max_wait_s=5), transport=httpx.MockTransport(Answers(OK))) as client:
        for _ in range(5):
            client.ask(ASKED, body)
    assert clock.time_s - 1000 == pytest.approx(120, abs=1)


def test_who_will_not_wait_at_all_still_waits_for_room(clock: FakeClock) -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        time.sleep(0.02)
        return httpx.Response(200, content=b"{}", request=request)

    with Client(settings(max_wait_s=0), transport=httpx.MockTransport(slow)) as client, ThreadPoolExecutor(4) as crowd:
        assert len([*crowd.map(lambda _: client.ask(ASKED, body), range(12))]) == 12


def test_whoever_asks_after_that_is_told_the_same_and_sends_nothing(clock: FakeClock) -> None:
    answers = Answers(refused("3000"), OK)
    with Client(settings(), transport=httpx.MockTransport(answers)) as client:
        with pytest.raises(tf.RateLimited):
            client.ask(ASKED, body)
        clock.time_s += 100
        with pytest.raises(tf.RateLimited, match="retry_after_s=2900") as caught:
            client.ask(ASKED, body)
        assert caught.value.retry_after_s == 2900
        assert (len(answers.asked), clock.waits) == (1, [])
        clock.time_s += 2900
        assert client.ask(ASKED, body) == b"{}"


@pytest.mark.parametrize(("retry_after", "waited_s"), [("2", 6.0), (None, 0.001 * (1 + 2 + 4))])
def test_429_without_end_ends_after_all_attempts(clock: FakeClock, retry_after: str | None, waited_s: float) -> None:
    answers = Answers(refused(retry_after))
    with pytest.raises(tf.RateLimited, match="attempt=4 of 4"):
        ask(answers)
    assert len(answers.asked) == 4
    assert sum(clock.waits) == pytest.approx(waited_s, abs=1e-5)


def test_one_refused_again_and_again_while_others_get_through_is_not_given_up(clock: FakeClock) -> None:
    """Somebody else uses the same budget: whose request meets the limit is chance."""
    answers = Answers(*[refused("1"), OK] * 10)
    with Client(settings(), transport=httpx.MockTransport(answers)) as client:
        for _ in range(10):
            assert client.ask(ASKED, body) == b"{}"
    assert client.traffic.throttled == 10


def crowd(client: Client, size: int) -> list[object]:
    """So many ask at the same time; what each got."""
    found: list[object] = [None] * size
    start = threading.Barrier(size)

    def one(n: int) -> None:
        start.wait()
        try:
            found[n] = client.ask(ASKED, body)
        except tf.TallyfyFramesError as error:
            found[n] = error

    threads = [threading.Thread(target=one, args=(n,)) for n in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


class Gate:
    """Answers 429 for a while after its third answer, from several threads; notes when it was asked."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked: list[float] = []
        self.shut_s = float("inf")
        self.lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self.lock:
            now = time.monotonic()
            self.asked.append(now)
            if len(self.asked) == 4:
                self.shut_s = now
                return httpx.Response(429, headers={"Retry-After": str(self.seconds)})
            return httpx.Response(200, content=b"{}", headers={"X-RateLimit-Remaining": "100"})


def test_everyone_waits_as_long_as_one_was_told_to() -> None:
    gate, began = Gate(0.5), time.monotonic()
    with Client(settings(), transport=httpx.MockTransport(gate)) as client:
        assert crowd(client, 8) == [b"{}"] * 8
    after = [at_s - gate.shut_s for at_s in gate.asked if at_s > gate.shut_s]
    assert min(after) >= 0.5
    assert 0.5 <= client.traffic.waited_s <= time.monotonic() - began, "waits at the same time are one"


def test_429_without_end_ends_for_a_crowd_as_soon_as_for_one(clock: FakeClock) -> None:
    answers = Answers(refused("1"))
    with Client(settings(), transport=httpx.MockTransport(answers)) as client:
        found = crowd(client, 8)
    assert all(isinstance(error, tf.RateLimited) for error in found)
    assert len(answers.asked) < 4 + 8


def test_a_conversation_that_was_ended_sends_nothing_more_and_tries_nothing_again() -> None:
    answers = Answers(OK)
    with Client(settings(), transport=httpx.MockTransport(answers)) as client:
        pass
    with pytest.raises(tf.ServerError, match="the conversation was ended"):
        client.ask(ASKED, body)
    assert answers.asked == []


def test_whoever_waits_for_a_turn_at_the_end_is_let_go() -> None:
    answers = Answers(refused("60"))
    with Client(settings(), transport=httpx.MockTransport(answers)) as client:
        found: list[object] = []
        thread = threading.Thread(target=lambda: found.extend(crowd(client, 2)))
        thread.start()
        while not client.traffic.throttled:
            time.sleep(0.005)
    thread.join(1)
    assert [str(error) for error in found] == ["the conversation was ended (url=runs?page=1)"] * 2


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


class Silence(socketserver.BaseRequestHandler):
    """Takes requests and never answers; with ``server.begin``, it begins to."""

    def handle(self) -> None:
        self.server.heard.append(self.request.recv(65536))  # type: ignore[attr-defined]
        self.request.sendall(self.server.begin)  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            self.server.heard.append(self.request.recv(65536))  # type: ignore[attr-defined]


@contextlib.contextmanager
def listening(handler: type[socketserver.BaseRequestHandler], **facts: Any) -> Iterator[Any]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        vars(server).update({"heard": [], "begin": b"", **facts})
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def at(server: Any, **changes: Any) -> tf.Settings:
    return settings(base_url=f"http://127.0.0.1:{server.server_address[1]}/api", **changes)


def wait_until(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx"], ids=["silent", "half way"])
def test_the_end_cuts_what_is_under_way_and_opens_nothing_new(begin: bytes) -> None:
    found: list[object] = []
    with listening(Silence, begin=begin) as server:
        with Client(at(server, retry_wait_s=0.2)) as client:
            thread = threading.Thread(target=lambda: found.extend(crowd(client, 1)))
            thread.start()
            wait_until(lambda: server.heard)
            began = time.monotonic()
        thread.join(2)
        assert time.monotonic() - began < 0.5
        (error,) = found
        assert str(error) == "the conversation was ended (url=runs?page=1)"
        time.sleep(0.3)
        assert [len(heard) > 0 for heard in server.heard] == [True, False], "one request, then the line was cut"


def test_each_request_has_the_whole_time_limit_to_itself() -> None:
    class Slow(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                if line == b"\r\n":
                    time.sleep(0.15)
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-RateLimit-Remaining: 100\r\n\r\n{}")

    with listening(Slow) as server, Client(at(server, total_timeout_s=0.4, attempts=1)) as client:
        for _ in range(4):
            assert crowd(client, 2) == [b"{}"] * 2


class Record(http.server.BaseHTTPRequestHandler):
    """Answers with ``server.answer`` (status, headers, body) and keeps the requests."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.heard.append((self.path, {name.lower(): value for name, value in self.headers.items()}))  # type: ignore[attr-defined]
        status, headers, data = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_CONNECT = do_GET  # noqa: N815 - as http.server has it

    def log_message(self, *_: object) -> None:
        pass


def test_packed_answers_are_unpacked_over_a_real_connection_that_is_kept() -> None:
    with listening(Record, answer=(200, {"Content-Encoding": "gzip"}, gzip.compress(b'{"a": 1}'))) as server:
        with Client(at(server)) as client:
            assert [client.ask(ASKED, body) for _ in range(3)] == [b'{"a": 1}'] * 3
        assert client.traffic.received_bytes == 24
        path, headers = server.heard[0]
        assert path == "/api/organizations/0f/runs?page=1"
        assert headers["host"] == f"127.0.0.1:{server.server_address[1]}"
        assert headers["accept-encoding"] == "gzip, deflate"
        assert headers["authorization"] == f"Bearer {TOKEN}"
        assert not {"content-length", "transfer-encoding", "cookie"} & headers.keys()


def test_a_redirect_is_not_followed_even_within_the_origin() -> None:
    with listening(Record, answer=(302, {"Location": "/api/elsewhere"}, b"")) as server:
        with Client(at(server)) as client, pytest.raises(tf.ApiError, match="redirects are never followed"):
            client.ask(ASKED, body)
        assert [path for path, _ in server.heard] == ["/api/organizations/0f/runs?page=1"]


def test_a_cookie_is_never_sent_back() -> None:
    with listening(Record, answer=(200, {"Set-Cookie": "session=1; Path=/"}, b"{}")) as server:
        with Client(at(server)) as client:
            client.ask(ASKED, body)
            client.ask(ASKED, body)
        assert [headers.get("cookie") for _, headers in server.heard] == [None, None]


def test_a_proxy_from_the_environment_is_asked_for_a_tunnel_and_never_sees_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(Record, answer=(502, {}, b"")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://someone:secret@127.0.0.1:{proxy.server_address[1]}")
        with Client(settings(attempts=1)) as client, pytest.raises(tf.ServerError, match="the connection failed: ProxyError"):
            client.ask(ASKED, body)
        ((path, headers),) = proxy.heard
        assert path == "api.example.net:443"
        assert headers["proxy-authorization"].startswith("Basic ")
        assert "authorization" not in headers
        monkeypatch.setenv("NO_PROXY", "api.example.net")
        with Client(settings(attempts=1, connect_timeout_s=0.5)) as client, pytest.raises(tf.ServerError):
            client.ask(ASKED, body)
        assert len(proxy.heard) == 1


def test_a_proxy_does_not_get_what_goes_to_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(Record, answer=(200, {}, b"{}")) as server, listening(Record, answer=(200, {}, b"{}")) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_address[1]}")
        with Client(at(server)) as client:
            client.ask(ASKED, body)
        assert (len(server.heard), proxy.heard) == (1, [])


def test_nothing_of_a_request_is_logged_by_the_libraries_below(caplog: pytest.LogCaptureFixture) -> None:
    """Free text in a filter may name people, and httpx logs whole addresses."""
    caplog.set_level(logging.DEBUG)
    with listening(Record, answer=(200, {}, b"{}")) as server, Client(at(server)) as client:
        client.ask(Request(("organizations", "0f", "runs"), (("q", "Erika"),)), body)
    assert "Erika" not in caplog.text
    assert TOKEN not in caplog.text
