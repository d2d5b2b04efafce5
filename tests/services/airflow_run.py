"""Run by Airflow's own Python: the DAG once, as `airflow dags test` does; then what became of each task, as JSON, in the file named.

Between two tries it waits no time. With a last word, a number, each task has one try and so many seconds.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

bag = DagBag(sys.argv[1])
told: dict[str, object] = {"errors": dict(bag.import_errors), "dags": sorted(bag.dags)}
if len(sys.argv) > 3:
    dag = bag.dags[sys.argv[3]]
    for task in dag.tasks:
        task.retry_delay = timedelta(0)
        if len(sys.argv) > 4:
            task.retries, task.execution_timeout = 0, timedelta(seconds=float(sys.argv[4]))
    run = dag.test()
    told["run"] = str(run.state)
    told["tasks"] = {task.task_id: [str(task.state), task.try_number] for task in run.get_task_instances()}
Path(sys.argv[2]).write_text(json.dumps(told))
