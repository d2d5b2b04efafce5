"""Airflow 3: a snapshot each night, then a check of all that is kept. Copy this file into the folder of DAGs.

The program has an environment of its own; Airflow runs it as a process. What to set:

- a connection ``tallyfy``: the password is the token, the login your organization's id;
- a variable ``tallyfy_lake``: where the snapshots are, a folder that every worker sees or ``s3://bucket/lake``;
- a variable ``tallyfy_frames``, if the program is elsewhere than in ``/opt/tallyfy-frames``.

A bucket takes its keys from the worker's environment (``AWS_ACCESS_KEY_ID`` …).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from airflow.exceptions import AirflowException
from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator, Connection, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

PROGRAM = "{{ var.value.get('tallyfy_frames', '/opt/tallyfy-frames/bin/tallyfy-frames') }}"
LAKE = "{{ var.value.get('tallyfy_lake', '/var/lib/tallyfy/lake') }}"

BUSY = 12  # another job is at it
FAIL_AT_ONCE = {2, 3, 5, 7, 10}  # settings, token, organization, filter, contract: a person must look first


class TallyfyFrames(BaseOperator):
    """Runs the program; its words go to the task's log, and its last line is the task's result."""

    template_fields = ("command",)

    def __init__(self, *, command: list[str], **options: object) -> None:
        """Keep the command, its program first."""
        super().__init__(**options)
        self.command = command
        self.process = SubprocessHook()

    def execute(self, context: Context) -> str:  # noqa: ARG002 - as every operator has it
        """Run it to its end, and let the exit code decide: done, skipped, failed for good, or to be tried again."""
        account = Connection.get("tallyfy")
        secrets = {"TALLYFY_ACCESS_TOKEN": account.password or "", "TALLYFY_ORG_ID": account.login or ""}
        done = self.process.run_command(self.command, env={**os.environ, **secrets})
        if done.exit_code == BUSY:
            raise AirflowSkipException(done.output)
        if done.exit_code in FAIL_AT_ONCE:
            raise AirflowFailException(done.output)
        if done.exit_code:
            raise AirflowException(done.output)
        return str(done.output)

    def on_kill(self) -> None:
        """Ask it to end: it leaves the published snapshot as it is, and the next job goes on where it was."""
        self.process.send_sigterm()


with DAG(
    dag_id="tallyfy_snapshot",
    schedule="17 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5), "execution_timeout": timedelta(minutes=30)},
    tags=["tallyfy"],
):
    snapshot = TallyfyFrames(task_id="snapshot", command=[PROGRAM, "snapshot", LAKE, "--keep", "30", "--keep-days", "90"])
    verify = TallyfyFrames(task_id="verify", command=[PROGRAM, "verify", LAKE])
    snapshot >> verify
