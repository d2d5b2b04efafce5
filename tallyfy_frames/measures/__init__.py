"""Where the time goes: frames of runs and tasks in, frames of hours and counts out.

Nothing here reads a clock or the API: "now" is passed in. Durations are hours, as ``Float64`` in columns that end in ``_h``;
elapsed hours, unless a :class:`Calendar` says which of them count. No input is changed. A frame without the columns that are
needed is a ``UsageError`` that names them; zero rows give the same columns.

Where an end lies before its start the duration is null: such rows contradict themselves, and neither zero nor less is a
duration. They keep their row and both instants, so that they can be looked at.
"""

from __future__ import annotations

from tallyfy_frames.measures.calendar import Calendar
from tallyfy_frames.measures.flow import throughput, work_in_progress
from tallyfy_frames.measures.spans import ageing, cycle_time
from tallyfy_frames.measures.waits import waiting, waiting_per_step

__all__ = ["Calendar", "ageing", "cycle_time", "throughput", "waiting", "waiting_per_step", "work_in_progress"]
