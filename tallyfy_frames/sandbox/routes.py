"""What the sandbox answers to a well-formed request: which records a query selects, in which order, in which envelope.

Written from the public sources alone (the parameter list of "List processes", the vendor's SDK, CLI and MCP server). Where
they disagree the default is the unkinder reading and a quirk switches to the other.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeVar
from urllib.parse import quote

from tallyfy_frames.sandbox import filters
from tallyfy_frames.sandbox.definitions import definition
from tallyfy_frames.sandbox.facts import OrgTask, Run, Template
from tallyfy_frames.sandbox.includes import Includes
from tallyfy_frames.sandbox.lists import LISTS, steps, tasks
from tallyfy_frames.sandbox.lists._list import AnyList, asked
from tallyfy_frames.sandbox.wire import Wire
from tallyfy_frames.sandbox.world import World

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
    "application-no-user-data": "an application's own token may not read runs, tasks and templates: 403; default: it may",
    "application-foreign": "the application is of another organization: its own token is 403 in this one",
    "refresh-stays": "a refresh token is good for any number of uses; default: for one, which brings the next",
    "expires-unsaid": "the answer with a token does not say when that ends",
    "not-admin": "the token's user is no administrator: a single member is 403, though the list of all is not",
    "include-bare": "includes are never wrapped; default: most are in an object of data alone, some are bare",
    "include-tasks-10": "with=tasks brings 10 tasks of a run at most, and says nothing; default: all that no rule hides",
    "form-values-ignored": "form_fields_values has no effect on the list of runs; default: form fields bring their answers",
    "activity-scalars": "values of the activity feed are bare; default: most are in an array of one",
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
        self.includes = Includes(wire)
        self.reader = filters.Reader(world.me.id, quirks)
        self.lists: dict[tuple[tuple[str, str], ...], Listed] = {}
        self.selected: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[int, Sequence[Any]]] = {}  # and of which version
        self.request = 0

    def answer(self, path: Sequence[str], query: Query) -> object:
        """The JSON value for a path (its segments, without the base) and a query."""
        match path:
            case ["me"] | ["organizations", _, "me"]:
                return self.me()
            case ["me", "organizations"]:
                return {"data": [self.wire.organization(self.world.organization)]}
            case ["organizations", _]:
                return {"data": self.wire.organization(self.world.organization)}
            case ["organizations", _, *rest]:
                return self.within(rest, query)
        raise Refused(404, {"error": True, "message": "Endpoint not found", "code": "ENDPOINT_NOT_FOUND"})

    def within(self, path: Sequence[str], query: Query) -> object:  # noqa: C901, PLR0911, PLR0912 - one case a route
        """The same, inside the organization."""
        match path:
            case ["runs"]:
                return self.runs(query)
            case ["runs", run_id]:
                return self.run(run_id, query)
            case ["runs", run_id, "tasks"]:
                return self.tasks_of(run_id, query)
            case ["runs", run_id, "tasks", task_id]:
                return self.task(self.world.tasks_of(self.found(run_id)), task_id, query)
            case ["runs", run_id, "form-fields"]:
                return {"data": self.includes.form_fields(self.found(run_id))}
            case ["tasks", task_id]:
                return self.task(self.world.tasks, task_id, query)
            case ["me", "tasks"]:
                return self.tasks_for(lambda one: self.world.me.id in one.task.users, query, route="me/tasks")
            case ["users", user_id]:
                return self.user(user_id)
            case ["users", user_id, "tasks"]:
                return self.tasks_for(lambda one: user_id in map(str, one.task.users), query, route=f"users/{user_id}/tasks")
            case ["guests", code, "tasks"]:
                return self.tasks_of_guest(code, query)
            case ["checklists", template_id]:
                return {"data": LISTS["checklists"].body(self.wire, self.template(template_id), query)}
            case ["checklists", template_id, "steps"]:
                return self.steps_of(template_id, query)
            case ["checklists", template_id, "form-fields"]:
                return {"data": self.forms_of(self.template(template_id))}
            case [name] if name in LISTS:
                return self.list_of(LISTS[name], query)
        raise Refused(404, {"error": True, "message": "Endpoint not found", "code": "ENDPOINT_NOT_FOUND"})

    def me(self) -> object:
        """The token's user."""
        if "me-forbidden" in self.quirks:
            raise Refused(403, {"message": "This action is unauthorized."})
        return {"data": self.wire.user(self.world.me)}

    def user(self, user_id: str) -> object:
        """One member, for an administrator."""
        if "not-admin" in self.quirks:
            raise Refused(403, {"message": "This action is unauthorized."})
        return {"data": self.wire.user(_one(user for user in self.world.users if str(user.id) == user_id))}

    def run(self, run_id: str, query: Query) -> object:
        """One run, archived or not."""
        values = query.get("form_fields_values") == "true"
        return {"data": self.includes.run(self.found(run_id), asked(query), with_values=values)}

    def found(self, run_id: str) -> Run:
        """A run, or the answer that there is none."""
        return _one([self.world.runs_by_id[run_id]] if run_id in self.world.runs_by_id else [])

    def task(self, among: Sequence[OrgTask], task_id: str, query: Query) -> object:
        """One task; its text comes unasked."""
        with_text = {**query, "with": f"{query.get('with', '')},summary"}
        return {"data": tasks.LIST.body(self.wire, _one(one for one in among if one.task.id == task_id), with_text)}

    def tasks_of(self, run_id: str, query: Query) -> object:
        """The tasks of one run, archived or not: by position, unless ``sort`` names a deadline."""
        chosen = tasks.chosen(self.world.tasks_of(self.found(run_id)), {**query, "archived": "true"})
        if "deadline" not in query.get("sort", ""):
            chosen = sorted(chosen, key=lambda one: one.task.position, reverse=query.get("sort") == "-position")
        return self.page_of(
            chosen, tasks.LIST, query, route=f"runs/{run_id}/tasks", unpaged=("without_pagination", "true")
        )  # fmt: skip

    def tasks_for(self, whose: Callable[[OrgTask], bool], query: Query, *, route: str, fixed_size: bool = False) -> object:
        """The tasks of one person: only the active ones, unless ``status`` says otherwise (vendor's SDK, measured)."""
        chosen = tasks.chosen([one for one in self.world.tasks if whose(one)], {"status": "active", **query})
        return self.page_of(chosen, tasks.LIST, _without_size(query) if fixed_size else query, route=route)

    def tasks_of_guest(self, code: str, query: Query) -> object:
        """The tasks of a guest, by the secret code: ten a page, whatever is asked."""
        guest = _one(guest for guest in self.world.guests if guest.code == code)
        return self.tasks_for(
            lambda one: guest.email in one.task.guests, query, route=f"guests/{code}/tasks", fixed_size=True
        )  # fmt: skip

    def template(self, template_id: str) -> Template:
        """A template; of an archived one the answer is that there is none."""
        return _one(one for one in self.world.templates if one.id == template_id and one.archived_at is None)

    def steps_of(self, template_id: str, query: Query) -> object:
        """The steps of a template, by position: ten a page, and never all at once."""
        return self.envelope(
            self.template(template_id).steps, lambda step: steps.body(self.wire, step), _without_size(query),
            route=f"checklists/{template_id}/steps", default_size=steps.PAGE_SIZE, cap=steps.PAGE_SIZE, unpaged=None,
        )  # fmt: skip

    def forms_of(self, template: Template) -> dict[str, object]:
        """All fields of a template: of its steps, and of its kick-off form."""
        return {
            "id": template.id,
            "title": template.title,
            "form_fields": [definition(field) for step in template.steps for field in step.fields],
            "ko_form_fields": [definition(field) for field in template.fields],
        }

    def runs(self, query: Query) -> object:
        """The list of runs."""
        names = asked(query)
        values = query.get("form_fields_values") == "true" and "form-values-ignored" not in self.quirks
        return self.envelope(
            self.listed(query), lambda run: self.includes.run(run, names, with_values=values), query,
            route="runs", default_size=10, cap=100,
        )  # fmt: skip

    def list_of(self, one: AnyList, query: Query) -> object:
        """Another list of the organization."""
        if not one.moves:
            return self.page_of(one.select(self.world, query), one, query, route=one.path)
        key = one.path, _without_pages(query)
        if key not in self.selected or self.selected[key][0] != self.world.version:
            self.selected[key] = self.world.version, one.select(self.world, query)
        return self.page_of(self.selected[key][1], one, query, route=one.path)

    def page_of(
        self, records: Sequence[Any], one: AnyList, query: Query, *, route: str, unpaged: tuple[str, str] | None = None
    ) -> object:
        """One page of records that look as those of a list, and come as many at a time."""
        return self.envelope(
            records, lambda record: one.body(self.wire, record, query), query,
            route=route, default_size=one.default_size, cap=one.cap, unpaged=unpaged or one.unpaged,
        )  # fmt: skip

    def listed(self, query: Query) -> list[Run]:
        """The runs that ``query`` selects, in its order; remembered, since every page asks again."""
        name = _without_pages(query)
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
            self.includes.kept.pop(before.id, None)

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
        """Whether ``query`` asks for ``run``."""
        return filters.selects(self.reader, run, query)

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


def _one(found: Iterable[Record]) -> Record:
    """The first, or the answer that there is none."""
    for record in found:
        return record
    raise Refused(404, {"error": True, "message": "Not found", "code": "RESOURCE_NOT_FOUND"})


def _without_pages(query: Query) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in query.items() if name not in {"page", "per_page", "with"}))


def _without_size(query: Query) -> Query:
    return {name: value for name, value in query.items() if name != "per_page"}


def _whole(text: str | None, default: int) -> int:
    return max(1, int(text)) if text and re.fullmatch(r"[0-9]{1,9}", text) else default
