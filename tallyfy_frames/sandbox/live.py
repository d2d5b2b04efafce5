"""A list that moves while it is read: named changes of the world between two list requests, and a record of every state.

``KIND`` makes its usual number of such changes before each list request but the first, ``KIND:0.3`` three in ten requests,
``KIND:2`` two in each, ``KIND@5`` one, before the fifth; ``all`` is a bit of everything, ``all:2`` twice that.

Changes are made under the sandbox's lock just before a list request is answered, so each answer shows one state: state *n*
is what list request *n* was shown. ``created_at`` never changes, ``last_updated`` moves with every change (Tallyfy API docs:
on archive, tag, any edit). Drawn from the seed and the number of the request: the same requests see the same list.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from tallyfy_frames.sandbox.facts import NOW, START, Run
from tallyfy_frames.sandbox.routes import Routes
from tallyfy_frames.sandbox.world import NAMES, STATUSES, make_run

TRIES: Final = 40  # draws for a run that will do, before all are looked at
PAGE_SIZE_MAX: Final = 100  # a burst is more than a page can hold


class Log:
    """The states of every run that changed; a run that is not in here never did."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self.changes: dict[str, list[tuple[int, Run | None]]] = {}

    def note(self, state: int, before: Run | None, after: Run | None) -> None:
        """From ``state`` on, ``before`` is ``after``; None: it is not there."""
        run = before or after
        if run is not None:
            self.changes.setdefault(run.id, [(0, before)]).append((state, after))

    def states(self, run_id: str, now: Run | None, since: int, until: int) -> list[Run | None]:
        """What the run was in the states ``since`` to ``until``, each once; of several changes in a state the last counts."""
        if run_id not in self.changes:
            return [now]
        seen = {max(state, since): run for state, run in self.changes[run_id] if state <= until}
        return list(seen.values())


class Mover:
    """Changes the world, keeps the caches right, and remembers. Call it under the sandbox's lock, or from a script.

    A changed run is a new object, so that what was served and what is remembered stay as they were.
    """

    def __init__(
        self,
        routes: Routes,
        rates: Sequence[str] = (),
        seed: int = 1,
        script: Mapping[int, Callable[[Mover], object]] | None = None,
    ) -> None:
        """Keep what moves how; ValueError names the kinds there are."""
        self.routes = routes
        self.world = routes.world
        self.seed = seed
        self.script = script or {}
        self.rates: dict[str, float] = {}
        self.later: defaultdict[int, list[Callable[[], object]]] = defaultdict(list)  # by the list request that sees it first
        for text in rates:
            self.parse(text)
        self.log = Log()
        self.state = 1  # the list request that sees the next change first
        self.draw = random.Random(seed)
        self.now = self.newest = NOW  # of the clock, and of ``created_at``
        self.next_number = self.world.run_count
        self.bin: list[Run] = []

    def parse(self, text: str) -> None:
        """``KIND``, ``KIND:PER_REQUEST`` or ``KIND@REQUEST``; what comes later wins."""
        match = re.fullmatch(r"([a-z-]+)(?::(\d+(?:\.\d+)?)|@([1-9]\d*))?", text)
        if match is None or match[1] not in LIVE or (match[3] and match[1] == "all"):
            message = f"no change {text!r}; there are {', '.join(LIVE)}, each with :PER_REQUEST, or one with @REQUEST"
            raise ValueError(message)
        name, rate, request = match.groups()
        if request:
            self.later[int(request)].append(lambda: KINDS[name].make(self))
        elif name == "all":
            self.rates |= {kind: known.usual * float(rate or 1) for kind, known in KINDS.items()}
        else:
            self.rates[name] = float(rate or KINDS[name].usual)

    def move(self, request: int) -> None:
        """Make the changes that list request ``request`` is the first to see."""
        if request == 1:  # another sandbox may have moved this world before
            self.now = max([NOW, *(run.last_updated for run in self.world.runs)])
            self.next_number = max([self.next_number, *(run.number + 1 for run in self.world.runs)])
        self.state = request
        self.draw = random.Random(f"{self.world.seed}/{self.seed}/live/{request}")
        self.now += timedelta(seconds=1)
        for due in self.later.pop(request, ()):
            due()
        if request > 1:  # "between two requests"
            kinds = [kind for kind, rate in self.rates.items() for _ in range(int(rate) + (self.draw.random() < rate % 1))]
            self.draw.shuffle(kinds)
            for kind in kinds:
                KINDS[kind].make(self)
        if request in self.script:
            self.script[request](self)
        self.state = request + 1

    def states_of(self, run_id: str, since: int, until: int) -> list[Run | None]:
        """What the run was in the states ``since`` to ``until``; None: it was not there."""
        return self.log.states(run_id, self.world.runs_by_id.get(run_id), since, until)

    def throughout(self, wanted: Callable[[Run], bool], since: int, until: int) -> set[str]:
        """The ids of the runs that were there and ``wanted`` in each of the states ``since`` to ``until``."""
        known = {*self.world.runs_by_id, *self.log.changes}
        return {key for key in known if all(run is not None and wanted(run) for run in self.states_of(key, since, until))}

    # What can happen to a run.

    def add(self, run: Run) -> Run:
        """The run is there from now on, at the place its ``created_at`` gives it."""
        self.world.put(run)
        self._happened(None, run)
        return run

    def remove(self, run: Run) -> None:
        """It is gone, as far as anyone can see."""
        run = self.world.runs_by_id[run.id]
        self.world.take(run)
        self._happened(run, None)
        self.bin.append(run)

    def change(self, run: Run, **facts: Any) -> Run:
        """Other facts, and a new ``last_updated``."""
        before = self.world.runs_by_id[run.id]
        after = replace(before, **{"last_updated": self.tick(), **facts})
        self.world.swap(before, after)
        self._happened(before, after)
        return after

    def _happened(self, before: Run | None, after: Run | None) -> None:
        self.routes.changed(before, after)
        self.log.note(self.state, before, after)

    def archive(self, run: Run) -> Run:
        """Out of the default list, into the archived one."""
        return self.change(run, archived_at=self.tick(), last_updated=self.now)

    def unarchive(self, run: Run) -> Run:
        """And back again."""
        return self.change(run, archived_at=None)

    def restatus(self, run: Run, word: str | None) -> Run:
        """Another status; ``completed_at`` is there for ``complete`` alone, and cleared on re-opening."""
        return self.change(run, status=word, completed_at=self.tick() if word == "complete" else None)

    def restore(self, run: Run) -> Run:
        """What was removed is there again, in its old place of the default list."""
        self.bin = [other for other in self.bin if other.id != run.id]
        return self.add(replace(run, archived_at=None, last_updated=self.tick()))

    def create(self) -> Run:
        """A new run at the end of the list."""
        return self.add(self.fresh())

    # What the kinds are made of.

    def tick(self) -> datetime:
        """A later instant than any before."""
        self.now += timedelta(milliseconds=1)
        return self.now

    def fresh(self, created: datetime | None = None) -> Run:
        """A run that is not in the list yet, created now and then in the same instant as the one before."""
        if created is None:
            created = self.newest = self.newest if self.newest > NOW and self.draw.random() < 0.08 else self.tick()
        number = self.next_number
        self.next_number += 1
        run = make_run(self.world, random.Random(f"{self.world.seed}/run/{number}"), number, created, self.world.runs)
        return replace(run, status="active", completed_at=None, archived_at=None, last_updated=max(created, self.now))

    def pick(self, accept: Callable[[Run], object] = bool, front: float = 0, back: float = 1) -> Run | None:
        """A run of that part of the list that ``accept`` takes; None if there is none."""
        runs = self.world.runs
        first = int(front * len(runs))
        last = max(first + 1, int(back * len(runs)))
        for _ in range(TRIES if runs else 0):
            run = runs[self.draw.randrange(first, min(last, len(runs)))]
            if accept(run):
                return run
        return next((run for run in runs[first:last] if accept(run)), None)


def _shown(run: Run) -> bool:
    """In the default list."""
    return run.archived_at is None


def _hidden(run: Run) -> bool:
    """Archived."""
    return run.archived_at is not None


def _create(mover: Mover) -> None:
    mover.create()


def _archive(mover: Mover) -> None:
    if run := mover.pick(_shown):
        mover.archive(run)


def _unarchive(mover: Mover) -> None:
    if run := mover.pick(_hidden):
        mover.unarchive(run)


def _delete(mover: Mover) -> None:
    if run := mover.pick():
        mover.remove(run)


def _complete(mover: Mover) -> None:
    if run := mover.pick(lambda run: run.status != "complete"):
        mover.restatus(run, "complete")


def _reopen(mover: Mover) -> None:
    if run := mover.pick(lambda run: run.status == "complete"):
        mover.restatus(run, "active")


def _rename(mover: Mover) -> None:
    if run := mover.pick():
        mover.change(run, name=f"{mover.draw.choice(NAMES)} {mover.draw.randint(1, 9999)}")


def _restatus(mover: Mover) -> None:
    if run := mover.pick():
        words = [word for word in (*STATUSES, *mover.world.extra_statuses) if word != run.status]
        mover.restatus(run, mover.draw.choice(words))


def _restore_old(mover: Mover) -> None:
    """One that was removed, or one that was away before anybody looked."""
    if mover.bin and mover.draw.random() < 0.5:
        mover.restore(mover.draw.choice(mover.bin))
    else:
        beside = mover.pick(front=0.1, back=0.9)
        mover.restore(mover.fresh(beside.created_at + timedelta(milliseconds=1) if beside else START))


def _burst(mover: Mover) -> None:
    """From the front or from anywhere, archived or deleted."""
    runs = [run for run in mover.world.runs if _shown(run)]
    size = min(len(runs), mover.draw.randint(PAGE_SIZE_MAX + 1, PAGE_SIZE_MAX * 3 // 2))
    first = mover.draw.choice((0, mover.draw.randint(0, len(runs) - size)))
    leave = mover.draw.choice((mover.archive, mover.remove))
    for run in runs[first : first + size]:
        leave(run)


def _swap(mover: Mover) -> None:
    """Of one status if possible, so that the total stands under a filter, too; archived and back, else gone and new."""
    enters = mover.pick(_hidden, front=0.3, back=0.7)
    leaves = mover.pick(lambda run: _shown(run) and (enters is None or run.status == enters.status), back=0.2)
    leaves = leaves or mover.pick(_shown, back=0.2)
    if leaves is None:
        return
    if enters is None:
        mover.remove(leaves)
        beside = mover.pick(front=0.3, back=0.7) or leaves
        completed = mover.now if leaves.completed_at else None
        mover.add(replace(mover.fresh(beside.created_at), status=leaves.status, completed_at=completed))
    else:
        mover.archive(leaves)
        mover.unarchive(enters)


def _churn(mover: Mover) -> None:
    run = mover.create()

    def removed() -> None:
        if run.id in mover.world.runs_by_id:
            mover.remove(run)

    mover.later[mover.state + mover.draw.randint(1, 3)].append(removed)


def _late_commit(mover: Mover) -> None:
    run = mover.fresh()
    mover.later[mover.state + mover.draw.randint(1, 5)].append(lambda: mover.add(run))


@dataclass(frozen=True, slots=True)
class Kind:
    """A change by name: what it is, how many of it between two requests are usual, and how it is made."""

    meaning: str
    usual: float
    make: Callable[[Mover], None]


KINDS: Final[Mapping[str, Kind]] = {
    "create": Kind("a new run at the end", 0.5, _create),
    "archive": Kind("a run leaves the default list for the archived one", 0.3, _archive),
    "unarchive": Kind("an archived run comes back", 0.2, _unarchive),
    "delete": Kind("a run is gone", 0.1, _delete),
    "complete": Kind("a run is completed", 0.3, _complete),
    "reopen": Kind("a complete run is active again", 0.2, _reopen),
    "rename": Kind("a run has another name", 0.3, _rename),
    "restatus": Kind("a run has another status", 0.3, _restatus),
    "restore-old": Kind("a run created long ago appears in the middle", 0.1, _restore_old),
    "burst": Kind("more runs than a page holds leave at once", 0.02, _burst),
    "swap": Kind("a run leaves in front and one enters in the middle; the total stands", 0.1, _swap),
    "churn": Kind("a run is created and soon removed again", 0.2, _churn),
    "late-commit": Kind("a new run is seen only some requests later, below newer ones", 0.2, _late_commit),
}
LIVE: Final = {"all": "a bit of everything"} | {name: kind.meaning for name, kind in KINDS.items()}
