r"""The activity feed: who did what, and when. Source: Tallyfy API docs, "Get process activity" and the feed's parameters.

Scalars come wrapped in lists of one, classes by their PHP names (``App\Models\Task``). It is the one route with a window of
dates that works. Days are the API's, in a zone that is not documented; what the token's user may not see is missing, with no
sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Final

import polars as pl

from tallyfy_frames.errors import FilterError
from tallyfy_frames.tables._filters import Filters, Listing, days, parameter, user_ids
from tallyfy_frames.tables._table import Rows, Table, column

OVER: Final = timedelta(days=2)  # a day so long ago is over in every time zone
VERBS: Final = (
    "created", "updated", "owners-updated", "uploaded", "completed", "uncompleted", "deleted", "re-ordered", "commented",
    "issue-reported", "issue-resolved", "archived", "unarchived", "re-opened", "emitted", "enabled", "disabled",
    "comment-deleted", "invited", "invite-accepted", "linked", "unlinked",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ActivityFilters(Filters):
    """Which entries: the API's own parameters. Days are ``YYYY-MM-DD``, both included."""

    disjoint: ClassVar[bool] = True  # an entry never changes, so it never leaves its list

    created_after: str | None = parameter("on this day or later")
    created_before: str | None = parameter("on this day or earlier")
    entity_type: str | None = parameter("what it happened to; its words are not documented")
    entity_id: str | None = parameter("id of what it happened to")
    type: str | None = parameter("kind of entry; its words are not documented")
    verb: str | None = parameter(f"what was done: {', '.join(VERBS)}")
    actor_type: str | None = parameter("kind of who did it; its words are not documented")
    actor_id: str | None = parameter("number of who did it: of a member, the user id")
    actor_email: str | None = parameter("e-mail address of who did it", personal=True)
    source: str | None = parameter("through what it was done; its words are not documented")
    search: str | None = parameter("text to find", personal=True)
    field: str | None = parameter("the field that was changed")
    origin_type: str | None = parameter("where it came from; its words are not documented")
    origin_id: str | None = parameter("id of where it came from")

    def __post_init__(self) -> None:
        """Refuse days that the API would not understand."""
        super().__post_init__()
        user_ids("actor_id", () if self.actor_id is None else (self.actor_id,))
        days(self, ("created_after", "created_before"))
        if self.created_after and self.created_before and self.created_after > self.created_before:
            raise FilterError(f"created_after={self.created_after} is later than created_before={self.created_before}")

    def listings(self) -> tuple[Listing, ...]:
        """Days that are over, and the last ones: the feed grows while it is read, and a list that does cannot be counted.

        Both have the day between them, lest it be in neither.
        """
        params = self.given()
        signs = {} if self.verb is None else {"verb": pl.col("verb").ne(self.verb)}
        day = f"{datetime.now(UTC) - OVER:%Y-%m-%d}"
        if (self.created_before or "9999") <= day or (self.created_after or "") >= day:
            return (Listing(params, signs),)
        return Listing({**params, "created_before": day}, signs), Listing({**params, "created_after": day}, signs)


class Activity(Rows):
    """One row per entry of the feed."""

    id: pl.String = column("id", about="The entry's number, as text", reads="id", nullable=False, unique=True)
    created_at: Annotated[pl.Datetime, "us", "UTC"] = column("created_at", about="When it happened")
    verb: pl.String = column("verb", about="What was done", reads="only_text", words=VERBS)
    type: pl.String = column("type", about="Kind of entry", reads="only_text")
    description: pl.String = column("description", about="What happened, in words", reads="only_text", personal=True)
    text: pl.String = column("text", about="Further words", reads="only_text", personal=True)
    source: pl.String = column("source", about="Through what it was done", reads="only_text")
    actor_type: pl.String = column("actor_type", about="Kind of who did it; of a PHP class its own name", reads="class_name")
    actor_id: pl.Int64 = column(
        "actor_id", about="Number of who did it: a user id where actor_type says that it is one", reads="only_user_id", ge=1
    )
    actor: pl.String = column("actor", about="Who did it: JSON list, secrets masked", reads="json_list", personal=True)
    actor_emails: pl.List = column(
        "actor", about="E-mail addresses of those who did it, guests too", reads="guests", inner=pl.String(), personal=True
    )
    auditable_type: pl.String = column(
        "auditable_type", about="What it happened to: of a PHP class its own name", reads="class_name",
        words=("Task", "Run", "Checklist"),
    )  # fmt: skip
    auditable_id: pl.String = column("auditable_id", about="Its id", reads="id")
    parentable_type: pl.String = column(
        "parentable_type", about="What that belongs to: of a PHP class its own name", reads="class_name"
    )
    parentable_id: pl.String = column("parentable_id", about="Its id", reads="id")
    field: pl.String = column("field", about="The field that was changed", reads="only_text")
    old_value: pl.String = column(
        "old_value", about="What was there before; JSON if it was no text", reads="loose", personal=True
    )
    references: pl.String = column("references", about="As it came: JSON; undocumented", reads="json_list", personal=True)
    origin: pl.String = column("origin", about="As it came: JSON; undocumented", reads="json_list", personal=True)
    audit_state: pl.String = column("audit_state", about="As it came: JSON; undocumented", reads="json_list", personal=True)
    parent_state: pl.String = column("parent_state", about="As it came: JSON; undocumented", reads="json_list", personal=True)
    audit: pl.String = column("audit", about="What it happened to: JSON, secrets masked", reads="json_list", personal=True)
    parent: pl.String = column("parent", about="What that belongs to: JSON, secrets masked", reads="json_list", personal=True)
    undoable: pl.Boolean = column("undoable", about="Whether it can be undone, when this was read", kind="volatile")


ACTIVITY = Table(
    name="activity",
    path="activity-feeds",
    model=Activity,
    filters=ActivityFilters,
    order="created_at",
    glance=("created_at", "verb", "auditable_type", "auditable_id", "actor_id", "description"),
)
