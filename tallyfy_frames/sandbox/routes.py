"""What the sandbox answers to a well-formed request: which records a query selects, in which order, in which envelope.

Written from the public sources alone (the parameter list of "List processes", the vendor's SDK, CLI and MCP server). Where
they disagree the default is the unkinder reading and a quirk switches to the other.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeVar
from urllib.parse import quote

from tallyfy_frames.sandbox.facts import Run
from tallyfy_frames.sandbox.lists import LISTS
from tallyfy_frames.sandbox.lists._list import AnyList
from tallyfy_frames.sandbox.wire import INCLUDES, Wire
from tallyfy_frames.sandbox.world import NOW, World

QUIRKS: Final = {
    "status-archived-ignored": "status=archived is not a filter (vendor's MCP); default: it selects archived runs",
    "status-unknown-empty": "an unknown status word selects nothing; default: it is ignored",
    "status-active-open": "status=active selects every run that is not complete; default: only the word itself",
    "archived-true-only": "archived=true selects archived runs alone; default: those too",
    "archived-ignored": "archived is no filter: every list is the default one",
    "wrong-org-404": "another organization is 404; default: 403",
    "links-missing": "meta has no links; default: an object, or [] where there are none",
    "lists-and": "owners, groups and tag_ids must all match; default: any of them",
    "tag-csv": "tag takes several ids; default: one id",
    "folder-numeric": "folder takes the folder's number; default: its 32-hex id",
    "untagged-any": "untagged counts as set whatever its value; default: only true",
    "starred-false-ignored": "starred=false is ignored; default: it selects runs that are not starred",
    "sort-ignored": "sort is ignored; default: name and created_at, each with a minus, are honoured",
    "sort-minus-ignored": "the minus sign of sort is ignored",
    "ties-shuffle": "rows of one instant (or name) come in another order with each request",
    "per-page-50": "per_page is clamped to 50, and meta says so",
    "per-page-50-unsaid": "per_page is clamped to 50, and meta has no per_page",
    "per-page-422": "per_page above 100 is refused; default: it is clamped",
    "page-size-fixed": "per_page is ignored; every page holds 10",
    "page-ignored": "page is ignored; every answer is the first page",
    "past-end-404": "a page past the end is 404; default: an empty page",
    "without-pagination-ignored": "without_pagination is ignored; default: it is honoured",
    "no-meta": "list answers carry no meta",
    "no-total": "meta states no total and no total_pages",
    "no-total-pages": "meta states no total_pages",
    "total-pages-default": "total_pages is computed with 10 a page whatever was asked",
    "total-low": "the stated total is 3 too low",
    "total-high": "the stated total is 3 too high",
    "bare-list": "list answers are a bare array",
    "text-numbers": "the numbers in meta are strings",
    "progress-number": "progress is a bare number, as in webhooks",
    "me-forbidden": "the route that names the token's user answers 403",
}  # fmt: skip

Query = Mapping[str, str]
Record = TypeVar("Record")


class Refused(Exception):
    """An answer other than 200: its status and body."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        """Keep both for the server to send."""
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass(slots=True)
class Listed:
    """The runs that a query selects, ascending by ``key``, which no two share; ``descending`` shows them backwards."""

    query: Query
    key: Callable[[Run], tuple[Any, str]]
    descending: bool
    runs: list[Run]

    def add(self, run: Run) -> None:
        """At its place."""
        insort(self.runs, run, key=self.key)

    def remove(self, run: Run) -> None:
        """With the facts it was added with."""
        del self.runs[bisect_left(self.runs, self.key(run), key=self.key)]

    def shown(self, ties: random.Random | None) -> list[Run]:
        """In the order asked for; ``ties`` reorders runs that only their ids tell apart."""
        runs = self.runs
        if ties is not None:
            runs = runs.copy()
            values = [self.key(run)[0] for run in runs]
            starts = [n for n in range(len(runs)) if n == 0 or values[n] != values[n - 1]]
            for start, stop in pairwise([*starts, len(runs)]):
                if stop - start > 1:
                    runs[start:stop] = ties.sample(runs[start:stop], stop - start)
        return runs[::-1] if self.descending else runs


class Routes:
    """Answers queries over one world; ``request`` is the number of the list request that is being answered."""

    def __init__(self, world: World, wire: Wire, quirks: Collection[str], links_base: Callable[[], str]) -> None:
        """Keep the world, how it is rendered, and the address that ``links`` name."""
        self.world = world
        self.wire = wire
        self.quirks = quirks
        self.links_base = links_base
        self.lists: dict[tuple[tuple[str, str], ...], Listed] = {}
        self.request = 0

    def answer(self, path: Sequence[str], query: Query) -> object:
        """The JSON value for a path (its segments, without the base) and a query."""
        match path:
            case ["me"] | ["organizations", _, "me"]:
                return self.me()
            case ["me", "organizations"]:
                return {"data": [{"id": self.world.org_id, "name": "Sandbox & Sons"}]}
            case ["organizations", _, "runs"]:
                return self.runs(query)
            case ["organizations", _, "runs", run_id]:
                return self.run(run_id, query)
            case ["organizations", _, "runs", run_id, "tasks"]:
                return self.tasks_of(run_id, query)
            case ["organizations", _, name] if name in LISTS:
                return self.list_of(LISTS[name], query)
        raise Refused(404, {"error": True, "message": "Endpoint not found", "code": "ENDPOINT_NOT_FOUND"})

    def me(self) -> object:
        """The token's user."""
        if "me-forbidden" in self.quirks:
            raise Refused(403, {"message": "This action is unauthorized."})
        return {"data": self.wire.user(self.world.me)}

    def run(self, run_id: str, query: Query) -> object:
        """One run, archived or not."""
        run = self.found(run_id)
        return {"data": self.wire.run(run, _csv(query.get("with")), with_values=query.get("form_fields_values") == "true")}

    def found(self, run_id: str) -> Run:
        """A run, or the answer that there is none."""
        run = self.world.runs_by_id.get(run_id)
        if run is None:
            raise Refused(404, {"error": True, "message": "Not found", "code": "RESOURCE_NOT_FOUND"})
        return run

    def tasks_of(self, run_id: str, query: Query) -> object:
        """The tasks of one run, archived or not: by position, unless ``sort`` names a deadline."""
        self.found(run_id)
        one = LISTS["tasks"]
        chosen = [task for task in one.select(self.world, {**query, "archived": "true"}) if task.run and task.run.id == run_id]
        if "deadline" not in query.get("sort", ""):
            chosen.sort(key=lambda task: task.task.position, reverse=query.get("sort") == "-position")
        return self.envelope(
            chosen, lambda task: one.body(self.wire, task, query), query,
            route=f"runs/{run_id}/tasks", default_size=one.default_size, cap=one.cap,
        )  # fmt: skip

    def runs(self, query: Query) -> object:
        """The list of runs."""
        ordered = self.listed(query)
        includes = [name for name in _csv(query.get("with")) if name in INCLUDES]
        values = query.get("form_fields_values") == "true"
        return self.envelope(
            ordered, lambda run: self.wire.run(run, includes, with_values=values), query, route="runs", default_size=10, cap=100
        )

    def list_of(self, one: AnyList, query: Query) -> object:
        """A list that is short and stands still."""
        records = one.select(self.world, query)
        return self.envelope(
            records, lambda record: one.body(self.wire, record, query), query,
            route=one.path, default_size=one.default_size, cap=one.cap, unpaged=one.unpaged,
        )  # fmt: skip

    def listed(self, query: Query) -> list[Run]:
        """The runs that ``query`` selects, in its order; remembered, since every page asks again."""
        name = tuple(sorted((name, value) for name, value in query.items() if name not in {"page", "per_page", "with"}))
        if name not in self.lists:
            key, descending = self.order(query)
            runs = sorted((run for run in self.world.runs if self.selects(run, query)), key=key)
            self.lists[name] = Listed(dict(query), key, descending, runs)
        return self.lists[name].shown(random.Random(self.request) if "ties-shuffle" in self.quirks else None)

    def changed(self, before: Run | None, after: Run | None) -> None:
        """Bring what is remembered up to date with one run; None: it is not there."""
        for listed in self.lists.values():
            if before is not None and self.selects(before, listed.query):
                listed.remove(before)
            if after is not None and self.selects(after, listed.query):
                listed.add(after)
        if before is not None:
            self.wire.bare_runs.pop(before.id, None)

    def order(self, query: Query) -> tuple[Callable[[Run], tuple[Any, str]], bool]:
        """The key to sort by, and whether backwards; without ``sort``, an order of the server's own: newest change first."""
        sort = query.get("sort") or query.get("sort_by") or ""
        keys: dict[str, Callable[[Run], tuple[Any, str]]] = {
            "name": lambda run: (run.name, run.id),
            "created_at": lambda run: (run.created_at, run.id),
        }
        key = keys.get(sort.removeprefix("-"))
        if key is None or "sort-ignored" in self.quirks:
            return lambda run: (run.last_updated, run.id), True
        return key, sort.startswith("-") and "sort-minus-ignored" not in self.quirks

    def selects(self, run: Run, query: Query) -> bool:
        """Whether every parameter that this route knows lets ``run`` through; it ignores all others."""
        if "archived-ignored" in self.quirks:
            query = {name: value for name, value in query.items() if name != "archived"}
        return all(matches(self, run, query[name]) for name, matches in _RUN_FILTERS.items() if query.get(name)) and (
            bool(query.get("archived")) or query.get("status") == "archived" or run.archived_at is None
        )

    def envelope(  # noqa: PLR0913 - what a page is made of
        self,
        records: Sequence[Record],
        render: Callable[[Record], object],
        query: Query,
        *,
        route: str,
        default_size: int,
        cap: int,
        unpaged: tuple[str, str] | None = ("without_pagination", "true"),
    ) -> object:
        """One page of ``records``, in the list envelope."""
        if unpaged is not None and query.get(unpaged[0]) == unpaged[1] and "without-pagination-ignored" not in self.quirks:
            return {"data": [render(record) for record in records]}
        size = _whole(query.get("per_page"), default_size)
        if size > cap and "per-page-422" in self.quirks:
            raise Refused(422, {"error": True, "errors": {"per_page": [f"may not be greater than {cap}"]}})
        if {"per-page-50", "per-page-50-unsaid"} & set(self.quirks):
            cap = min(cap, 50)
        size = 10 if "page-size-fixed" in self.quirks else min(size, cap)
        page = 1 if "page-ignored" in self.quirks else _whole(query.get("page"), 1)
        pages = max(1, -(-len(records) // size))
        if page > pages and "past-end-404" in self.quirks:
            raise Refused(404, {"error": True, "message": "Not found"})
        rows = [render(record) for record in records[(page - 1) * size : page * size]]
        if "bare-list" in self.quirks:
            return rows
        if "no-meta" in self.quirks:
            return {"data": rows}
        return {"data": rows, "meta": {"pagination": self.stated(len(records), len(rows), size, page, pages, query, route)}}

    def stated(  # noqa: PLR0913 - the fields of the answer
        self, total: int, count: int, size: int, page: int, pages: int, query: Query, route: str
    ) -> dict[str, object]:
        """``meta.pagination``; ``links`` is an object, or ``[]`` where there are none."""
        links = {name: self.link(route, query, other) for name, other in (("previous", page - 1), ("next", page + 1))
                 if 1 <= other <= pages}  # fmt: skip
        total += 3 * ("total-high" in self.quirks) - 3 * ("total-low" in self.quirks)
        if "total-pages-default" in self.quirks:
            pages = max(1, -(-total // 10))
        meta: dict[str, Any] = {
            "total": max(0, total), "count": count, "per_page": size, "current_page": page, "total_pages": pages,
        }  # fmt: skip
        if "no-total" in self.quirks:
            del meta["total"], meta["total_pages"]
        elif "no-total-pages" in self.quirks:
            del meta["total_pages"]
        if "per-page-50-unsaid" in self.quirks:
            del meta["per_page"]
        if "text-numbers" in self.quirks:
            meta = {name: str(value) for name, value in meta.items()}
        return meta if "links-missing" in self.quirks else meta | {"links": links or []}

    def link(self, route: str, query: Query, page: int) -> str:
        """A link as the API prints them: it keeps the filters and drops ``with`` and ``per_page``."""
        kept = {name: value for name, value in query.items() if name not in {"page", "per_page", "with"}}
        pairs = [f"{quote(name)}={quote(value)}" for name, value in {**kept, "page": str(page)}.items()]
        return f"{self.links_base()}/organizations/{self.world.org_id}/{route}?{'&'.join(pairs)}"


def _csv(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _whole(text: str | None, default: int) -> int:
    return max(1, int(text)) if text and re.fullmatch(r"[0-9]{1,9}", text) else default


def _some(routes: Routes, wanted: str, found: Collection[object]) -> bool:
    """Whether the listed ids meet ``found``: any of them, or (a quirk) all of them."""
    hits = [part in {str(value) for value in found} for part in _csv(wanted)]
    return all(hits) if "lists-and" in routes.quirks else any(hits)


def _status(routes: Routes, run: Run, word: str) -> bool:
    open_run = run.completed_at is None
    late = any(task.deadline and task.deadline < NOW and task.completed_at is None for task in run.tasks)
    meanings: dict[str, bool] = {
        "active": open_run if "status-active-open" in routes.quirks else run.status == "active",
        "complete": run.status == "complete",
        "problem": run.status in {"problem", "issue"},
        "issue": run.status == "issue",
        "improvement": run.has_improvement,
        "delayed": run.status == "delayed" or (open_run and late and run.status == "paused"),
        "starred": run.starred,
        "archived": run.archived_at is not None or "status-archived-ignored" in routes.quirks,
    }
    if word == "paused":  # new on the server's side, in no documentation
        return run.status == word
    return meanings.get(word, "status-unknown-empty" not in routes.quirks)


def _folder(routes: Routes, run: Run, wanted: str) -> bool:
    if run.folder is None:
        return False
    return wanted == (str(run.folder.number) if "folder-numeric" in routes.quirks else run.folder.id)


def _tag(routes: Routes, run: Run, wanted: str) -> bool:
    ids = {tag.id for tag in run.tags}
    return bool(ids & set(_csv(wanted))) if "tag-csv" in routes.quirks else wanted in ids


def _archived(routes: Routes, run: Run, wanted: str) -> bool:
    if wanted == "only" or (wanted == "true" and "archived-true-only" in routes.quirks):
        return run.archived_at is not None
    return wanted == "true" or run.archived_at is None


def _starred(routes: Routes, run: Run, wanted: str) -> bool:
    if wanted == "false" and "starred-false-ignored" in routes.quirks:
        return True
    return run.starred is (wanted == "true") if wanted in {"true", "false"} else True


def _untagged(routes: Routes, run: Run, wanted: str) -> bool:
    return not run.tags if wanted == "true" or "untagged-any" in routes.quirks else True


def _task_status(_routes: Routes, run: Run, wanted: str) -> bool:
    states = {"in-progress": {"active", "in-progress"}, "completed": {"completed"}}.get(wanted)
    return True if states is None else any(task.status in states for task in run.tasks)


def _me(routes: Routes, run: Run, wanted: str) -> bool:
    return wanted != "true" or routes.world.me.id in {run.owner_id, *(user for task in run.tasks for user in task.users)}


_RUN_FILTERS: Final[dict[str, Callable[[Routes, Run, str], bool]]] = {
    "q": lambda _routes, run, text: text.lower() in run.name.lower(),
    "status": _status,
    "owners": lambda routes, run, ids: _some(routes, ids, {run.owner_id, *(u for t in run.tasks for u in t.users)}),
    "checklist_id": lambda _routes, run, wanted: run.template.id == wanted,
    "blueprint_id": lambda _routes, run, wanted: run.template.id == wanted,
    "folder": _folder,
    "tag": _tag,
    "tag_ids": lambda routes, run, ids: _some(routes, ids, {tag.id for tag in run.tags}),
    "untagged": _untagged,
    "starred": _starred,
    "type": lambda _routes, run, wanted: run.type == wanted,
    "groups": lambda routes, run, ids: _some(routes, ids, {g for task in run.tasks for g in task.groups}),
    "archived": _archived,
    "task_status": _task_status,
    "me": _me,
}
