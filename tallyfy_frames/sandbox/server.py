"""The sandbox: a server over one world, with its limits, faults and log of requests. The standard library alone.

``handler.py`` speaks HTTP: it demands what the real API demands, and lets faults strike. Tokens come from ``tokens.py``.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from tallyfy_frames.sandbox.facts import Run
from tallyfy_frames.sandbox.faults import EDITS, SPOILS, Fault, edit
from tallyfy_frames.sandbox.handler import Handler, Server
from tallyfy_frames.sandbox.lists import LISTS
from tallyfy_frames.sandbox.live import Mover
from tallyfy_frames.sandbox.routes import QUIRKS, Routes
from tallyfy_frames.sandbox.tokens import WEEK_S, Tokens
from tallyfy_frames.sandbox.wire import Wire
from tallyfy_frames.sandbox.world import World

LIST_ROUTES: Final = frozenset({"runs", *LISTS})
LISTS_WITHIN: Final = frozenset({"steps", "tasks"})  # of a template, a run or a person
SIGN_INS: Final = ("token", "application", "refresh")


@dataclass(slots=True)
class Logged:
    """One request and what it got; there before its answer is sent."""

    number: int  # counted from 1
    at_s: float  # monotonic clock
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    status: int = 0  # 0: no answer at all
    fault: str | None = None
    list_request: int = 0  # its number among the list requests that no limit refused, counted from 1; 0: it is none


class Limit:
    """At most ``count`` accepted requests in any window of ``seconds``; refused ones do not count."""

    def __init__(self, count: int, seconds: float) -> None:
        """An empty window."""
        self.count = count
        self.seconds = seconds
        self.accepted: deque[float] = deque()

    @classmethod
    def parse(cls, text: str) -> Limit:
        """``COUNT/SECONDS``."""
        count, _, seconds = text.partition("/")
        try:
            limit = cls(int(count), float(seconds))
        except ValueError:
            limit = cls(0, 0)
        if limit.count < 1 or limit.seconds <= 0:
            message = f"a limit is COUNT/SECONDS, such as 100/60, not {text!r}"
            raise ValueError(message)
        return limit

    def wait_s(self, now: float) -> float:
        """Seconds until the next request would be accepted; 0 when one would be now."""
        while self.accepted and self.accepted[0] <= now - self.seconds:
            self.accepted.popleft()
        return 0.0 if len(self.accepted) < self.count else self.accepted[0] + self.seconds - now


@dataclass
class Sandbox:
    """A server on loopback over one world; a context manager that serves from a thread.

    ``requests`` is the log, ``token_requests`` that of the token route, where ``token_faults`` strike. ``base_url``, ``token``
    and ``org_id`` are what a client needs, or :meth:`environment_of`. ``live`` makes the list move while it is read, ``script``
    moves it by hand: what to do just before the list request of a number is answered. Both change
    ``world`` itself.
    """

    world: World = field(default_factory=World)
    faults: Sequence[Fault | str] = ()
    token_faults: Sequence[Fault | str] = ()  # by the number of the token request
    quirks: Collection[str] = ()
    limits: Sequence[Limit | str] = ()
    live: Sequence[str] = ()
    live_seed: int = 1
    script: Mapping[int, Callable[[Mover], object]] = field(default_factory=dict)
    latency_ms: float = 0
    slow_s: float = 5.0  # how long the fault "slow" is silent, and "drip" drips
    token_uses: int | None = None  # requests that an access token lets in, if the route gave it; None: as many as there are
    token_lifetime_s: float = WEEK_S
    plain: bool = False  # documented shapes only
    foreign_origin: str = "http://127.0.0.1:9"  # where "foreign-next" and "foreign-redirect" point
    host: str = "127.0.0.1"
    port: int = 0
    requests: list[Logged] = field(default_factory=list, init=False)
    token_requests: list[Logged] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Check names, then bind."""
        unknown = sorted(set(self.quirks) - set(QUIRKS))
        if unknown:
            message = f"no quirk {', '.join(unknown)}; there are {', '.join(QUIRKS)}"
            raise ValueError(message)
        self.faults, self.token_faults = (
            [Fault.parse(fault) if isinstance(fault, str) else fault for fault in faults]
            for faults in (self.faults, self.token_faults)
        )
        self.limits = [Limit.parse(limit) if isinstance(limit, str) else limit for limit in self.limits]
        # Held while an answer is made, not while it is sent: each shows one state of the world and of what is remembered of it.
        self.lock = threading.RLock()
        self.list_requests = 0
        self.revoked = False  # the personal token and the application, for good
        self.tokens = Tokens(self.world, self.quirks, self.token_uses, self.token_lifetime_s)
        self.routes = Routes(self.world, Wire(self.world, self.quirks, plain=self.plain), self.quirks, lambda: self.base_url)
        self.mover = Mover(self.routes, self.live, self.live_seed, self.script)
        self.server = Server((self.host, self.port), Handler)
        self.server.sandbox = self
        self.thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """The address, with the prefix of ``go.tallyfy.com/api``; the same routes answer without it."""
        return f"http://{self.host}:{self.server.server_address[1]}/api"

    @property
    def token(self) -> str:
        """The personal token, which lives until it is revoked."""
        return self.world.token

    @property
    def org_id(self) -> str:
        """The one organization it has."""
        return self.world.org_id

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point a client at it, with the personal token."""
        return self.environment_of("token")

    def environment_of(self, sign_in: str) -> dict[str, str]:
        """The same for one of ``SIGN_INS``. What another way would need is blank: that is not given."""
        way = {"TALLYFY_ACCESS_TOKEN": self.token}
        if sign_in != "token":
            way = {"TALLYFY_ACCESS_TOKEN": "", "TALLYFY_CLIENT_ID": self.tokens.client_id}
            way |= {"TALLYFY_CLIENT_SECRET": self.tokens.client_secret}
        if sign_in == "refresh":
            way |= {"TALLYFY_REFRESH_TOKEN": self.tokens.refresh_token}
        return {**way, "TALLYFY_ORG_ID": self.org_id, "TALLYFY_BASE_URL": self.base_url}

    def serve(self) -> None:
        """Serve until interrupted."""
        self.server.serve_forever(poll_interval=0.05)

    def __enter__(self) -> Self:
        """Serve from a thread."""
        return self.start()

    def start(self) -> Self:
        """Serve from a thread, until the process ends or ``__exit__``."""
        self.thread = threading.Thread(target=self.serve, name="sandbox", daemon=True)
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop serving and free the port."""
        self.server.shutdown()
        self.server.server_close()

    def admit(self, now: float) -> tuple[float, int | None]:
        """Count a request against the limits: (seconds to wait or 0, requests left)."""
        with self.lock:
            limits: Iterable[Limit] = [limit for limit in self.limits if isinstance(limit, Limit)]
            wait_s = max((limit.wait_s(now) for limit in limits), default=0.0)
            if wait_s <= 0:
                for limit in limits:
                    limit.accepted.append(now)
            left = min((limit.count - len(limit.accepted) for limit in limits), default=None)
        return wait_s, left

    def log(self, path: str, query: dict[str, str], headers: dict[str, str], method: str = "GET") -> Logged:
        """A new entry of the log: a POST's is that of the token route."""
        with self.lock:
            log = self.requests if method == "GET" else self.token_requests
            entry = Logged(len(log) + 1, time.monotonic(), method, path, query, headers)
            log.append(entry)
        return entry

    def look(self, path: Sequence[str], query: Mapping[str, str], entry: Logged, target: str) -> object:
        """The answer, from one state of the world; ``entry`` learns its number and the fault that strikes it."""
        with self.lock:
            if _is_list(path):
                self.list_requests += 1
                number = entry.list_request = self.routes.request = self.list_requests
                entry.fault = next((f.name for f in self.faults if isinstance(f, Fault) and f.strikes(number)), None)
                self.mover.move(number)
            if entry.fault is not None and entry.fault not in EDITS | SPOILS:
                return None
            body = self.routes.answer(path, query)
            if entry.fault not in EDITS:
                return body
            first_page = {**query, "page": "1"}
            return edit(entry.fault, body, f"{self.foreign_origin}{target}", lambda: self.routes.answer(path, first_page))

    def present_throughout(
        self,
        wanted: Callable[[Run], bool] | Mapping[str, str] | None = None,
        *,
        since_request: int = 1,
        until_request: int | None = None,
    ) -> set[str]:
        """The ids of the runs that a complete read must hold: there, and wanted, in every state that could be seen.

        ``wanted`` is a predicate, or a query in the API's words (``{"archived": "only"}``; default: the default list). A union
        of lists is one question (``{"archived": "true"}``): a run that moves between them is in the union throughout. The
        states are those shown to the list requests ``since_request`` to ``until_request`` (default: the last so far).
        """
        with self.lock:
            query: Mapping[str, str] = {} if wanted is None or callable(wanted) else wanted
            accept = wanted if callable(wanted) else lambda run: self.routes.selects(run, query)
            return self.mover.throughout(accept, since_request, until_request or self.list_requests)

    def states_of(self, run_id: str, *, since_request: int = 1, until_request: int | None = None) -> list[Run]:
        """What the run was while it was there, in the states shown to those list requests: a row served is one of these."""
        with self.lock:
            states = self.mover.states_of(run_id, since_request, until_request or self.list_requests)
        return [run for run in states if run is not None]


def _is_list(path: Sequence[str]) -> bool:
    if path[:1] != ["organizations"]:
        return False
    return path[-1] in LIST_ROUTES if len(path) == 3 else len(path) > 3 and path[-1] in LISTS_WITHIN
