"""What the views of a database must hold: the measures, and the labels beside them, made with polars of the same snapshot."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from tallyfy_frames import measures

KEYS = {
    "run_labels": ["run_id"],
    "cycle_time": ["run_id"],
    "ageing": ["run_id"],
    "throughput": ["checklist_id", "begins_at"],
    "work_in_progress": ["checklist_id", "owner_id", "run_status", "until"],
    "waiting": ["task_id"],
    "waiting_per_step": ["checklist_id", "step"],
}
LABELS = ["template", "owner", "run_status"]
EDGES_D = [1, 3, 7, 14, 30, 90]
BANDS = ["00-01", "01-03", "03-07", "07-14", "14-30", "30-90", "90+"]


class Measured:
    """A snapshot's frames, and what is to be seen of them; ``as_of`` is when ages end."""

    def __init__(self, runs: pl.DataFrame, tasks: pl.DataFrame, users: pl.DataFrame, as_of: datetime) -> None:
        self.runs = runs
        self.tasks = tasks
        self.as_of = as_of
        self.labels = pl.DataFrame(
            _labels(runs, users), schema={"run_id": pl.String, **dict.fromkeys(LABELS, pl.String)}, orient="row"
        )

    def view(self, name: str) -> pl.DataFrame:
        """The rows of a view, with its columns in its order."""
        return getattr(self, name)()

    def run_labels(self) -> pl.DataFrame:
        return self.labels

    def cycle_time(self) -> pl.DataFrame:
        return self._labelled(measures.cycle_time(self.runs))

    def ageing(self) -> pl.DataFrame:
        problems = self.runs.select(
            run_id="id",
            has_problem=pl.col("status").is_in(["problem", "issue"]).fill_null(value=False)
            | pl.col("has_open_issue").fill_null(value=False),
        )
        aged = measures.ageing(self.runs, now=self.as_of).join(problems, on="run_id", maintain_order="left")
        days_left = (pl.col("due_date") - self.as_of).dt.total_seconds(fractional=True) / 86_400
        bands = [None if age is None else BANDS[bisect_right(EDGES_D, age / 24)] for age in aged["age_h"]]
        return self._labelled(
            aged.select(
                pl.exclude("has_problem"),
                as_of=pl.lit(self.as_of, dtype=pl.Datetime("us", "UTC")),
                age_band=pl.Series(bands, dtype=pl.String),
                is_overdue=(days_left < 0).fill_null(value=False),
                is_due_soon=days_left.is_between(0, 7, closed="left").fill_null(value=False),
                has_problem="has_problem",
            )
        )

    def throughput(self) -> pl.DataFrame:
        lots = self.runs.join(self.labels, left_on="id", right_on="run_id", maintain_order="left")
        made = measures.throughput(lots.with_columns(lot=pl.struct("checklist_id", "template").struct.json_encode()), by="lot")
        names = lots.select("checklist_id", "template", lot=pl.struct("checklist_id", "template").struct.json_encode()).unique()
        return made.join(names, on="lot").select("checklist_id", "begins_at", "completed", "template")

    def work_in_progress(self) -> pl.DataFrame:
        lot = pl.struct("checklist_id", "owner_id", *LABELS)
        lots = self.runs.join(self.labels, left_on="id", right_on="run_id", maintain_order="left").with_columns(
            lot=lot.struct.json_encode()
        )
        made = measures.work_in_progress(lots, until=self.as_of, by="lot")
        names = lots.select("lot", "checklist_id", "owner_id", *LABELS).unique()
        return made.join(names, on="lot").select(
            "checklist_id", "owner_id", pl.col("at").alias("until"), "opened", "closed", "open", *LABELS
        )

    def waiting(self) -> pl.DataFrame:
        done = pl.col("completed_at").is_not_null() & pl.col("status").ne_missing("skipped")
        dropped = pl.col("archived_at").is_not_null() | pl.col("status").is_in(["completed", "complete", "skipped"]).fill_null(
            value=False
        )
        titles = self.tasks.select(task_id="id", step_title=pl.coalesce("original_title", "title"))
        return self._labelled(
            measures.waiting(self.tasks)
            .join(titles, on="task_id", maintain_order="left")
            .with_columns(is_done=done, is_open=pl.col("completed_at").is_null() & ~dropped),
            how="left",
        )

    def waiting_per_step(self) -> pl.DataFrame:
        return measures.waiting_per_step(self.tasks)

    def _labelled(self, rows: pl.DataFrame, how: str = "inner") -> pl.DataFrame:
        return rows.join(self.labels, on="run_id", how=how, maintain_order="left")


def _labels(runs: pl.DataFrame, users: pl.DataFrame) -> list[tuple[Any, ...]]:
    """By hand, one run after the other."""
    templates = defaultdict(set)
    for title, template_id in runs.select("checklist_title", "checklist_id").iter_rows():
        templates[title] |= {template_id} - {None}
    names = {
        row[0]: next((text.strip(" ") for text in row[1:] if text and text.strip(" ")), None)
        for row in users.select("id", "full_name", "username").iter_rows()
    }
    namesakes = [name for name in names.values() if name]

    def template(title: str | None, template_id: str | None) -> str:
        if not (title or "").strip(" "):
            return "no template" if template_id is None else f"template {template_id}"
        return f"{title} ({'no id' if template_id is None else template_id})" if len(templates[title]) > 1 else str(title)

    def owner(user_id: int | None) -> str:
        if user_id is None:
            return "nobody"
        name = names.get(user_id)
        if name is None:
            return f"user {user_id}"
        return f"{name} ({user_id})" if namesakes.count(name) > 1 else name

    facts = runs.select("id", "checklist_title", "checklist_id", "owner_id", "status").iter_rows()
    return [(run_id, template(title, of), owner(by), status) for run_id, title, of, by, status in facts]


def same(got: pl.DataFrame, wanted: pl.DataFrame, name: str) -> None:
    """The same rows in any order; hours up to rounding, everything else to the letter."""
    given = got.with_columns(pl.col(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    keys = [*KEYS[name], *([label for label in ("template", "owner") if label in wanted.columns])]
    assert_frame_equal(given.sort(keys), wanted.sort(keys), check_exact=False, rel_tol=1e-9, abs_tol=1e-9)


def as_of(runs: pl.DataFrame, otherwise: str) -> datetime:
    """When the newest run was read, or the newest change, if that is later; but of changes far ahead of us only if most are."""
    read_at = max(runs["loaded_at"], default=datetime.fromisoformat(otherwise))
    changes = [moment for moment in runs["last_updated"] if moment]
    near = [moment for moment in changes if moment <= read_at + timedelta(days=1)]
    return max([read_at, *(changes if len(near) < len(changes) / 2 else near)])
