"""Runs in Airflow's own environment: plays the DAG for each date given, as `airflow dags test` does, and prints as JSON
how the run and its tasks ended, and how often each task was tried.

    python nights.py 2026-11-24 2026-11-24 2026-11-25
"""

import json
import sys

import pendulum
from airflow.dag_processing.dagbag import DagBag

dag = DagBag().dags["everloop_retrain"]


def night(date):
    run = dag.test(logical_date=pendulum.parse(date, tz="UTC"))
    tasks = {task.task_id: {"state": task.state, "tries": task.try_number} for task in run.get_task_instances()}
    return {"run": run.run_id, "state": run.state, "tasks": tasks}


print("\n" + json.dumps([night(date) for date in sys.argv[1:]]))
