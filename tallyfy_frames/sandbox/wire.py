"""Facts → JSON values, in every shape the API's sources show. Which shape a record gets is drawn from its id.

The shapes are those of the evidence: empty maps as ``[]`` (PHP), ids and flags as strings or numbers, five spellings of an
instant, zero dates, missing keys. A ``plain`` wire uses the documented shape throughout.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tallyfy_frames.sandbox.facts import NOW, Organization, Progress, Run, User
from tallyfy_frames.sandbox.world import World

# Keys a server may leave out of a run when it has nothing to say.
OPTIONAL: Final = (
    "summary",
    "parent_id",
    "has_open_issue",
    "assign_someone_else",
    "custom_fields",
    "late_tasks",
    "archived_at",
)


class Wire:
    """Renders one world. ``quirks`` switches readings on which sources disagree."""

    def __init__(self, world: World, quirks: Collection[str] = (), *, plain: bool = False) -> None:
        """Keep what is rendered and how."""
        self.world = world
        self.quirks = quirks
        self.plain = plain
        self.bare_runs: dict[str, dict[str, Any]] = {}  # rendered once each: pages are asked for again and again

    def instant(self, draw: random.Random, moment: datetime | None) -> str | None:
        """One of the spellings of an instant; None has several, too."""
        if moment is None:
            return None if self.plain else draw.choice((None, None, None, "", "0000-00-00 00:00:00", "NaN"))
        seconds = moment.strftime("%Y-%m-%dT%H:%M:%S")
        millis = f"{seconds}.{moment.microsecond // 1000:03d}"
        if self.plain:
            return f"{millis}Z"
        spellings = [f"{millis}Z", f"{millis}000Z", f"{millis}+00:00", millis.replace("T", " ")]
        if moment.year < 9999:
            east = (moment + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S")
            spellings.append(f"{east}.{moment.microsecond // 1000:03d}+02:00")
        if not moment.microsecond:
            spellings += [f"{seconds}Z", seconds.replace("T", " ")]
        return draw.choice(spellings)

    def number(self, draw: random.Random, value: int | None) -> object:
        """An integer, now and then as text."""
        return str(value) if value is not None and not self.plain and draw.random() < 0.1 else value

    def flag(self, draw: random.Random, value: bool | None) -> object:  # noqa: FBT001 - the fact itself
        """A boolean, now and then as 0/1 or a word."""
        if value is None or self.plain or draw.random() < 0.85:
            return value
        return draw.choice((int(value), str(int(value)), str(value).lower()))

    def person(self, draw: random.Random, user_id: int | None) -> object:
        """A user id: a number, text, an object; nobody is null or 0."""
        if user_id is None:
            return None if self.plain else draw.choice((None, None, 0))
        if self.plain or draw.random() < 0.85:
            return user_id
        return draw.choice((str(user_id), {"id": user_id}))

    def progress(self, draw: random.Random, progress: Progress | None) -> object:
        """An object; nothing is null, absent or ``[]``; elsewhere in the API it is a bare number."""
        if progress is None:
            return None if self.plain else draw.choice((None, [], {}))
        whole = progress.percent == int(progress.percent)
        percent = int(progress.percent) if whole else progress.percent
        if "progress-number" in self.quirks:
            return percent
        body: dict[str, object] = {
            "complete": self.number(draw, progress.complete),
            "total": progress.total,
            "percent": percent,
        }
        if progress.approved is not None:
            body |= {"approved": progress.approved, "rejected": progress.rejected}
        return body

    def mapping(self, value: Mapping[str, Any] | None) -> object:
        """A map; PHP prints an empty one as a list."""
        return value if value or self.plain or value is None else []

    def collection(self, draw: random.Random, name: str, rows: Sequence[object]) -> dict[str, object]:
        """An included collection, under ``name``: ``{"data": […]}``, or bare as in the documentation; of nothing, anything."""
        if self.plain:
            return {name: {"data": rows}}
        bare = "include-bare" in self.quirks
        if rows:
            shapes: tuple[object, ...] = ({"data": rows}, {"data": rows}, {"data": rows}, {"data": rows, "meta": {}}, rows)
            return {name: rows if bare else draw.choice(shapes)}
        empty: object = draw.choice((None, [], "absent") if bare else (None, [], {"data": None}, {"data": []}, "absent"))
        return {} if empty == "absent" else {name: empty}

    def item(self, draw: random.Random, name: str, body: object) -> dict[str, object]:
        """An included object, under ``name``: ``{"data": {…}}``, or bare."""
        bare = "include-bare" in self.quirks or (not self.plain and draw.random() < 0.3)
        return {name: body if bare else {"data": body}}

    def run(self, run: Run) -> dict[str, Any]:
        """A run without includes, as the list and the single route print it."""
        if run.id not in self.bare_runs:
            self.bare_runs[run.id] = self.bare_run(run)
        return self.bare_runs[run.id]

    def bare_run(self, run: Run) -> dict[str, Any]:
        """A run, rendered anew."""
        draw = random.Random(f"{run.id}/wire")
        instants = {
            name: self.instant(draw, getattr(run, name))
            for name in ("created_at", "started_at", "last_updated", "completed_at", "archived_at", "due_date",
                         "max_task_deadline", "prerun_completed_at")
        }  # fmt: skip
        body: dict[str, Any] = {
            "id": run.id,
            "increment_id": self.number(draw, run.increment_id),
            "checklist_id": run.template.id,
            "checklist_title": run.checklist_title,
            "name": run.name,
            "summary": run.summary,
            "status": run.status,
            "progress": self.progress(draw, run.progress),
            "whole_progress": self.progress(draw, run.whole_progress),
            "started_by": self.person(draw, run.started_by),
            "owner_id": self.person(draw, run.owner_id),
            "prerun": self.mapping(run.prerun),
            "prerun_status": run.prerun_status,
            "prerun_completed_by": self.person(draw, run.prerun_completed_by),
            "prerun_length": self.number(draw, run.prerun_length),
            "starred": self.flag(draw, run.starred),
            "due_date_passed": run.due_date is not None and run.due_date < NOW,
            "due_soon": run.due_date is not None and NOW <= run.due_date < NOW + timedelta(days=2),
            "late_tasks": self.number(draw, run.late_tasks),
            "collaborators": [self.person(draw, user) for user in run.collaborators],
            "type": run.type,
            "is_public": self.flag(draw, run.is_public),
            "users": self.people(draw, run.users),
            "groups": self.group_ids(draw, run.groups),
            "parent_id": run.parent_id,
            "can_add_oot": self.flag(draw, run.can_add_oot),
            "assign_someone_else": self.flag(draw, run.assign_someone_else),
            "has_open_issue": self.flag(draw, run.has_open_issue),
            "custom_fields": self.mapping(run.custom_fields),
            **instants,
            **run.unknown,
        }
        for name in OPTIONAL:
            if body[name] is None and not self.plain and draw.random() < 0.5:
                del body[name]
        return body

    def people(self, draw: random.Random, user_ids: Collection[int]) -> object:
        """A list of user ids: numbers, objects as in webhooks, or a PHP array with a hole, which prints as a map."""
        shape = "plain" if self.plain or not user_ids else draw.choice(("plain", "plain", "plain", "objects", "holes"))
        if shape == "objects":
            return [{"user_id": user, "full_name": "somebody"} for user in user_ids]
        if shape == "holes":
            return {str(2 * position): user for position, user in enumerate(user_ids)}
        return list(user_ids)

    def group_ids(self, draw: random.Random, ids: Collection[str]) -> object:
        """A list of group ids, or of objects as in webhooks."""
        if self.plain or draw.random() < 0.8:
            return list(ids)
        return [{"group_id": group, "name": "a group"} for group in ids]

    def user(self, user: User) -> dict[str, Any]:
        """A member, with either spelling of the two keys on which sources disagree."""
        draw = random.Random(f"{user.id}/wire")
        docs = not self.plain and draw.random() < 0.3
        country = None if user.country_id is None else {"id": user.country_id, "name": "Somewhere", "iso2": "SW"}
        return {
            "id": user.id if self.plain or draw.random() < 0.9 else str(user.id),
            "email": user.email,
            "username": user.username,
            "first_name": user.first_name,
            "last_name": user.last_name,
            "full_name": user.full_name,
            "profile_pic": "https://files.example.net/pic.png",
            "is_active" if docs else "active": user.active,
            "is_suspended": False,
            "status": user.status,
            "role": user.role,
            "created_at": self.instant(draw, user.created_at),
            "updated_at" if docs else "last_updated": self.instant(draw, user.last_updated),
            "last_login_at": self.instant(draw, user.last_login_at),
            "disabled_at": self.instant(draw, user.disabled_at),
            "disabled_by": self.person(draw, user.disabled_by),
            "invited_by": self.person(draw, user.invited_by),
            "job_title": user.job_title,
            "team": user.team,
            "timezone": user.timezone,
            "UTC_offset": "+00:00",
            "country": country if self.plain or draw.random() < 0.5 else {"data": country},
        }

    def organization(self, one: Organization) -> dict[str, Any]:
        """The organization: ``users_count`` is of those active. A day off is null, not there, or not enabled."""
        draw = random.Random(f"{one.id}/wire")
        days: dict[str, object] = {}
        for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"):
            if day in one.work_hours:
                start, end = one.work_hours[day]
                days[day] = {"enabled": True, "start": start, "end": end}
            elif self.plain or draw.random() < 0.7:
                off: tuple[object, ...] = (None, {"enabled": False, "start": None, "end": None})
                days[day] = None if self.plain else draw.choice(off)
        after = one.auto_archive_after
        return {
            "id": one.id,
            "name": one.name,
            "timezone": one.timezone,
            "users_count": sum(user.active for user in self.world.users),
            "working_days": days,
            "webhook_date_field_format": one.webhook_date_field_format,
            "auto_archive": self.flag(draw, one.auto_archive),
            "auto_archive_processes_after": None if after is None else {"value": after[0], "unit": after[1]},
            "auto_complete_tasks": self.flag(draw, one.auto_complete_tasks),
            "auto_complete_task_months": one.auto_complete_task_months,
            "created_on": self.instant(draw, one.created_at),
            "last_updated": self.instant(draw, one.last_updated),
            "org_logo": None,
        }


def http_date(moment: datetime) -> str:
    """The date form of ``Retry-After``."""
    return moment.astimezone(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
