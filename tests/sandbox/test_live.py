"""The list that moves: what each change does, that every answer shows one state, and that all of them are remembered."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import httpx
import pytest

from tallyfy_frames.sandbox import LIVE, Mover, Sandbox, World
from tallyfy_frames.sandbox.facts import Run
from tallyfy_frames.sandbox.includes import INCLUDES, Includes
from tallyfy_frames.sandbox.lists import tasks
from tallyfy_frames.sandbox.routes import Routes
from tallyfy_frames.sandbox.wire import Wire
from tallyfy_frames.sandbox.world import NOW

KINDS = [name for name in LIVE if name != "all"]
EVERY = {"without_pagination": "true", "archived": "true"}
WORLD_SIZES = (0, 1, 2, 300)
QUERIES: list[dict[str, str]] = [
    {"sort": "created_at"},
    {"sort": "-created_at"},
    {"sort": "name"},
    {},
    {"archived": "only", "sort": "created_at"},
    {"archived": "true"},
    {"status": "active", "sort": "created_at"},
    {"status": "complete"},
    {"q": "launch"},
]

# Everything moves, but one burst is enough for a small world.
LIVELY = ("all:3", "burst:0", "burst@20")

Facts = dict[str, Run]


class Reader:
    """A client that keeps its connection, and the states that its requests were shown."""

    def __init__(self, world: int | World = 300, *live: str, script: Any = None, **options: Any) -> None:
        self.shown: dict[int, Facts] = {}
        script = script or {}

        def watched(number: int) -> Callable[[Mover], None]:
            def watch(mover: Mover) -> None:
                script.get(number, lambda _: None)(mover)
                self.shown[number] = dict(mover.world.runs_by_id)

            return watch

        scripts = {number: watched(number) for number in range(1, 500)}
        self.sandbox = Sandbox(World(1, world) if isinstance(world, int) else world, live=live, script=scripts, **options)

    def __enter__(self) -> Self:
        self.sandbox.start()
        headers = {
            "Authorization": f"Bearer {self.sandbox.token}",
            "Accept": "application/json",
            "X-Tallyfy-Client": "APIClient",
        }
        self.http = httpx.Client(trust_env=False, headers=headers)
        self.url = f"{self.sandbox.base_url}/organizations/{self.sandbox.org_id}/runs"
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.sandbox.__exit__(None, None, None)

    def get(self, **query: Any) -> httpx.Response:
        return self.http.get(self.url, params=query)

    def rows(self, **query: Any) -> list[dict[str, Any]]:
        return self.get(**query).json()["data"]  # type: ignore[no-any-return]

    def ids(self, **query: Any) -> list[str]:
        return [row["id"] for row in self.rows(**query)]


def moved(kind: str, size: int = 300, times: int = 20) -> tuple[Facts, Facts, Reader]:
    """The facts before and after ``times`` changes, two of them between any two requests."""
    with Reader(size, f"{kind}:2") as reader:
        for _ in range(times // 2 + 1):
            reader.rows(per_page=1)
    return reader.shown[1], reader.shown[times // 2 + 1], reader


def test_before_the_first_request_nothing_moves() -> None:
    with Reader(50, "all:50") as reader:
        assert set(reader.ids(**EVERY)) == {run.id for run in World(1, 50).runs}
        assert set(reader.ids(**EVERY)) != {run.id for run in World(1, 50).runs}


def test_the_same_seed_sees_the_same_history() -> None:
    def history(seed: int) -> list[Any]:
        with Reader(200, "all:3", live_seed=seed) as reader:
            return [reader.rows(per_page=100, sort="created_at") for _ in range(10)]

    assert history(1) == history(1)
    assert history(1) != history(2)


def test_new_runs_come_last() -> None:
    before, after, _ = moved("create")
    new = [run for key, run in after.items() if key not in before]
    assert len(new) == 20
    assert min(run.created_at for run in new) >= max(run.created_at for run in before.values())
    assert {run.archived_at for run in new} == {None}


@pytest.mark.parametrize(
    ("kind", "was", "is_"),
    [
        ("archive", lambda run: run.archived_at is None, lambda run: run.archived_at is not None),
        ("unarchive", lambda run: run.archived_at is not None, lambda run: run.archived_at is None),
        (
            "complete",
            lambda run: run.completed_at is None,
            lambda run: run.status == "complete" and run.completed_at is not None,
        ),
        ("reopen", lambda run: run.status == "complete", lambda run: run.status == "active" and run.completed_at is None),
    ],
)
def test_a_change_is_what_it_says(kind: str, was: Callable[[Run], bool], is_: Callable[[Run], bool]) -> None:
    before, after, _ = moved(kind)
    changed = [key for key in before if after[key] is not before[key]]
    assert len(changed) == 20
    assert all(was(before[key]) and is_(after[key]) for key in changed)


def test_a_deleted_run_is_nowhere() -> None:
    before, after, reader = moved("delete")
    assert len(before) - len(after) == 20
    assert set(after) < set(before)
    gone = next(iter(set(before) - set(after)))
    assert reader.sandbox.states_of(gone, since_request=1) == [before[gone]]


def test_an_old_run_appears_in_the_middle() -> None:
    before, after, reader = moved("restore-old")
    new = [run for key, run in after.items() if key not in before]
    assert len(new) == 20
    ages = sorted(run.created_at for run in before.values())
    assert all(ages[0] < run.created_at < ages[-1] for run in new)
    assert [run.created_at for run in reader.sandbox.world.runs] == sorted(run.created_at for run in reader.sandbox.world.runs)


def test_what_was_deleted_comes_back_in_its_place() -> None:
    with Reader(300, "delete:2", "restore-old:2") as reader:
        for _ in range(30):
            reader.rows(per_page=1)
    both = reader.shown[1].keys() & reader.shown[30].keys()
    away_and_back = [key for key in both if any(key not in reader.shown[number] for number in range(1, 30))]
    assert away_and_back
    assert all(reader.shown[30][key].created_at == reader.shown[1][key].created_at for key in away_and_back)


def test_a_burst_is_more_than_a_page() -> None:
    with Reader(300, "burst@2") as reader:
        first, second = (len(reader.ids(without_pagination="true")) for _ in range(2))
    assert 100 < first - second <= 150


def test_a_swap_leaves_every_total_as_it_is() -> None:
    with Reader(300, "swap:1") as reader:
        for query in ({}, {"archived": "only"}, {"archived": "true"}, {"status": "active"}):
            answers = [reader.get(per_page=100, sort="created_at", **query).json() for _ in range(6)]
            assert len({answer["meta"]["pagination"]["total"] for answer in answers}) == 1
        first, last = ({key for key, run in reader.shown[n].items() if run.archived_at is None} for n in (1, 24))
    assert first - last
    front = min(reader.shown[1][key].number for key in last - first)
    assert min(reader.shown[1][key].number for key in first - last) < front


def test_what_churns_is_soon_gone() -> None:
    with Reader(50, "churn:1") as reader:
        for _ in range(20):
            reader.rows(per_page=1)
    lives = {key: [n for n in reader.shown if key in reader.shown[n]] for facts in reader.shown.values() for key in facts}
    passing = [seen for key, seen in lives.items() if key not in reader.shown[1] and max(seen) < 18]
    assert passing
    assert all(len(seen) <= 3 and seen == list(range(seen[0], seen[-1] + 1)) for seen in passing)


def test_a_late_commit_appears_below_newer_runs() -> None:
    with Reader(50, "late-commit:1", "create:1") as reader:
        for _ in range(20):
            reader.rows(per_page=1)
    late = [
        key
        for n in range(2, 21)
        for key, run in reader.shown[n].items()
        if key not in reader.shown[n - 1] and run.created_at < max(other.created_at for other in reader.shown[n - 1].values())
    ]
    assert late
    assert all(reader.shown[20][key].created_at > NOW for key in late), "near the end"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", WORLD_SIZES)
def test_last_updated_moves_and_created_at_never_does(kind: str, size: int) -> None:
    _, _, reader = moved(kind, size)
    for number in range(2, len(reader.shown) + 1):
        for key, run in reader.shown[number].items():
            before = reader.shown[number - 1].get(key, run)
            assert run is before or (run.last_updated > before.last_updated and run.created_at == before.created_at)
            assert run.created_at <= run.last_updated
            assert (run.completed_at is not None) == (run.status == "complete")


@pytest.mark.parametrize("quirk", ["", "sort-ignored", "archived-ignored", "status-active-open", "ties-shuffle"])
def test_what_is_remembered_is_what_a_fresh_server_would_say(quirk: str) -> None:
    with Reader(400, *LIVELY, quirks=[quirk] if quirk else []) as reader:
        for number in range(90):
            reader.rows(without_pagination="true", **QUERIES[number % len(QUERIES)])
        for query in QUERIES:
            served = reader.rows(without_pagination="true", **query)
            fresh = Routes(reader.sandbox.world, Wire(reader.sandbox.world), reader.sandbox.quirks, str)
            fresh.request = reader.sandbox.list_requests
            assert served
            assert served == [fresh.wire.run(run) for run in fresh.listed(query)], query
        assert reader.http.get(f"{reader.url}/{served[0]['id']}").json()["data"] == served[0]


def test_tasks_move_with_their_runs() -> None:
    with Reader(300, *LIVELY) as reader:
        world = reader.sandbox.world
        assert len(world.tasks) == sum(len(run.tasks) for run in world.runs) + 60
        for _ in range(60):
            reader.rows(per_page=1)
        served = [
            row
            for page in range(1, 100)
            for row in reader.sandbox.routes.answer(
                ["organizations", world.org_id, "tasks"],
                {"archived": "true", "sort": "-newest", "per_page": "100", "page": str(page)},
            )["data"]  # type: ignore[index]
        ]
        fresh = [task for run in world.runs for task in world.tasks_of(run)] + world.tasks_alone
    assert [row["id"] for row in served] == [
        one.task.id for one in sorted(fresh, key=lambda one: (one.created_at, one.task.id))
    ]
    assert all(one.run is world.runs_by_id[one.run.id] for one in world.tasks if one.run)


def test_tasks_of_an_archived_run_leave_the_list_in_which_they_are_read() -> None:
    with Reader(60, script={2: lambda mover: mover.archive(run), 3: lambda mover: mover.remove(run)}) as reader:
        run = next(run for run in reader.sandbox.world.runs if not run.archived_at and len(run.tasks) > 1)
        ids = {task.id for task in run.tasks}
        url = reader.url.replace("/runs", "/tasks")

        def listed(**query: str) -> set[str]:
            chosen = tasks.select(reader.sandbox.world, query)
            return {one.task.id for one in chosen}

        shown = []
        for _ in range(3):
            shown.append(reader.http.get(url).json()["meta"]["pagination"]["total"])
            assert shown[-1] == len(listed())
            assert (ids <= listed(), ids <= listed(archived="only")) == [(True, False), (False, True), (False, False)][
                len(shown) - 1
            ]
        assert shown == [shown[0], shown[0] - len(ids), shown[0] - len(ids)]


def test_what_runs_bring_moves_with_them() -> None:
    with Reader(120, *LIVELY) as reader:
        world, includes = reader.sandbox.world, reader.sandbox.routes.includes
        for number in range(40):
            reader.rows(per_page=100, page=1 + number % 2, **{"with": ",".join(INCLUDES)})
        fresh = Includes(Wire(world))
        assert includes.kept
        for run in world.runs:
            assert includes.run(run, INCLUDES) == fresh.run(run, INCLUDES)


@pytest.mark.parametrize("query", QUERIES)
def test_who_was_there_throughout_was_in_every_whole_list(query: dict[str, str]) -> None:
    with Reader(300, *LIVELY) as reader:
        seen = [set(reader.ids(**query, without_pagination="true")) for _ in range(30)]
        assert reader.sandbox.present_throughout(query) == set.intersection(*seen)
        assert reader.sandbox.present_throughout(query, since_request=11) == set.intersection(*seen[10:])
        assert reader.sandbox.present_throughout(query, since_request=5, until_request=8) == set.intersection(*seen[4:8])
        assert set() != set.intersection(*seen) < set.union(*seen)


def test_a_predicate_asks_as_well_as_a_query() -> None:
    with Reader(300, *LIVELY) as reader:
        for _ in range(30):
            reader.rows(per_page=1)
        throughout = reader.sandbox.present_throughout
        assert throughout(lambda run: run.archived_at is None and run.status == "active") == throughout({"status": "active"})
        assert throughout(lambda _: True) == throughout({"archived": "true"})


def test_a_run_that_moves_between_two_lists_was_in_their_union_throughout() -> None:
    def back_and_forth(mover: Mover) -> None:
        run = mover.world.runs[0]
        (mover.archive if run.archived_at is None else mover.unarchive)(run)

    with Reader(20, script=dict.fromkeys((2, 3, 4), back_and_forth)) as reader:
        for _ in range(4):
            reader.rows(per_page=1)
        moving = reader.sandbox.world.runs[0].id
        assert moving not in reader.sandbox.present_throughout()
        assert moving not in reader.sandbox.present_throughout({"archived": "only"})
        assert moving in reader.sandbox.present_throughout({"archived": "true"})
        assert len(reader.sandbox.states_of(moving)) == 4


def test_away_and_back_between_two_requests_was_never_away() -> None:
    def blink(mover: Mover) -> None:
        run = mover.world.runs[0]
        mover.remove(run)
        mover.restore(run)

    with Reader(20, script={2: blink}) as reader:
        for _ in range(2):
            reader.rows(per_page=1)
        assert len(reader.sandbox.present_throughout({"archived": "true"})) == 20


def test_a_row_is_one_of_the_states_of_its_run() -> None:
    with Reader(300, *LIVELY) as reader:
        served = [row for _ in range(20) for row in reader.rows(per_page=100, sort="created_at")]
    wire = Wire(reader.sandbox.world)
    for row in served:
        assert row in [wire.bare_run(run) for run in reader.sandbox.states_of(row["id"])]


def test_a_script_moves_the_list_by_hand() -> None:
    with Reader(30, script={3: lambda mover: [mover.remove(run) for run in list(mover.world.runs)]}) as reader:
        assert [len(reader.ids(**EVERY)) for _ in range(4)] == [30, 30, 0, 0]
        assert reader.sandbox.present_throughout() == set()


@pytest.mark.parametrize("latency_ms", [0, 2])
def test_every_answer_shows_one_state_however_many_ask_at_once(latency_ms: float) -> None:
    with Reader(200, "all:4", latency_ms=latency_ms) as reader, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: reader.get(**EVERY), range(160)))
        log = {f"sandbox-{entry.number}": entry for entry in reader.sandbox.requests}
    numbers = [log[answer.headers["X-Request-Id"]].list_request for answer in answers]
    assert sorted(numbers) == list(range(1, 161))
    for number, answer in zip(numbers, answers, strict=True):
        assert {row["id"] for row in answer.json()["data"]} == set(reader.shown[number])


def test_a_world_that_moved_may_be_served_again() -> None:
    world = World(1, 100)
    for _ in range(3):
        with Reader(world, "create:2", "delete:1") as reader:
            seen = [reader.ids(**EVERY, sort="created_at") for _ in range(10)]
        assert all(len(set(ids)) == len(ids) for ids in seen)
    assert len(seen[-1]) == 100 + 3 * 9
    assert seen[-1] == [run.id for run in sorted(world.runs, key=lambda run: (run.created_at, run.id))]


def test_a_refused_request_moves_nothing() -> None:
    with Reader(30, "create:1", limits=["2/60"]) as reader:
        assert [reader.get().status_code for _ in range(4)] == [200, 200, 429, 429]
        assert [entry.list_request for entry in reader.sandbox.requests] == [1, 2, 0, 0]
        assert len(reader.sandbox.world.runs) == 31


def test_a_struck_request_moves_the_list_all_the_same() -> None:
    with Reader(30, "create:1", faults=["html-502@2"]) as reader:
        assert [reader.get().status_code for _ in range(3)] == [200, 502, 200]
        assert len(reader.sandbox.world.runs) == 32


@pytest.mark.parametrize("text", ["nonsense", "archive:", "archive:x", "archive@", "archive@0", "all@3", ":1", "archive:1@2"])
def test_a_change_that_is_none_names_those_there_are(text: str) -> None:
    with pytest.raises(ValueError, match="restore-old"):
        Sandbox(live=[text])


def test_what_comes_later_wins() -> None:
    with Sandbox(World(1, 1), live=["burst:4", "archive", "all:2", "burst:0", "archive:7"]) as sandbox:
        rates = sandbox.mover.rates
    assert (rates["burst"], rates["archive"], rates["create"]) == (0, 7, 1)
    assert set(rates) == set(KINDS)


def test_a_long_list_that_moves_answers_as_fast_as_one_that_does_not() -> None:
    def seconds(*live: str) -> float:
        with Reader(world, *live) as reader:
            reader.ids(per_page=100, sort="created_at")
            began = time.perf_counter()
            for page in range(1, 51):
                reader.rows(per_page=100, sort="created_at", page=page)
            return time.perf_counter() - began

    world = World(1, 20_000)
    still = seconds()
    moving = seconds("all")
    assert moving <= 3 * still, (moving, still)
