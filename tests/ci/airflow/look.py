"""Runs in Airflow's own environment: loads the DAG as a DAG processor does, and prints what came of it as JSON.

    python look.py '{"EVERLOOP_RUN_IN": "here"}' ...

For each set of variables: import errors, the DAG's settings, and each task with its pod where it is one.
"""

import json
import os
import sys

from airflow.dag_processing.dagbag import DagBag
from kubernetes.client import ApiClient


def task(operator):
    pod = getattr(operator, "build_pod_request_obj", None)
    return {
        "operator": type(operator).__name__,
        "then": sorted(operator.downstream_task_ids),
        "retries": operator.retries,
        "timeout_hours": operator.execution_timeout.total_seconds() / 3600,
        "skip_on_exit_code": sorted(operator.skip_on_exit_code),
        "command": getattr(operator, "bash_command", None),
        "pod": pod and ApiClient().sanitize_for_serialization(pod()),
    }


def look(variables):
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        bag = DagBag()
    finally:
        os.environ.clear()
        os.environ.update(before)
    dags = {
        name: {
            "tasks": {operator.task_id: task(operator) for operator in dag.tasks},
            "schedule": getattr(dag.timetable, "expression", None) or dag.timetable.summary,
            "catchup": dag.catchup,
            "max_active_runs": dag.max_active_runs,
            "hours": dag.dagrun_timeout.total_seconds() / 3600,
            "doc": dag.doc_md,
        }
        for name, dag in bag.dags.items()
    }
    return {"errors": bag.import_errors, "dags": dags}


print("\n" + json.dumps([look(json.loads(variables)) for variables in sys.argv[1:]]))
