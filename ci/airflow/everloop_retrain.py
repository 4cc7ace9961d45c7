"""Retraining on a schedule, with Airflow 3: copy this file into the DAGs folder.

    train ──▶ offer

train  `everloop submit --wait`: one run on Kubeflow Pipelines, followed to its end. It fails when the run fails and is
       skipped, with everything after it, when the gate says no: the old champion serves on, and that is an answer.
offer  `everloop gitops sync`: a commit that names the release as the environment's candidate, or a pull request where the
       environment wants one. Only where EVERLOOP_ENVIRONMENT names an environment. Leave it empty where the CronJob
       model-writer does this every minute, or where no git is asked and the rollout engine reads the ledger.

A task may be tried again at any moment. The run on Kubeflow is named after the run here, so a second try finds what the
first one started, also when its answer was lost, and follows that; and each night is a run of its own, though the addresses
of its data are the same every night. `sync` commits nothing where git says it already.

Drift needs no schedule: the retrain controller asks for runs when something drifts. This is for those who want a model a
night, or a run after another DAG.

Settings are variables of Airflow's environment, the same ones that the commands read, on the DAG processor and the workers:

EVERLOOP_HOME          s3://bucket/prefix, where tables, releases and the ledger lie
KUBEFLOW_ENDPOINT      http://ml-pipeline.kubeflow:8888
EVERLOOP_EVENTS        what to learn from, s3://...; several with spaces between. Empty: MovieLens 100K, as a trial
EVERLOOP_ITEMS         what is known of the items, in the same way
EVERLOOP_ENVIRONMENT   staging or prod, see above
EVERLOOP_GIT           the repository of the environments, for `offer`
EVERLOOP_SCHEDULE      a cron line in UTC; default at 03:17
EVERLOOP_RETRY_SECONDS  between a task's tries, growing; default 120
EVERLOOP_RUN_IN        `pods` (default): our images in EVERLOOP_NAMESPACE; `here`: on the worker, with `everloop` in its PATH
EVERLOOP_REGISTRY      before the images' names

Keys are in none of them. Pods get them from Secrets, each only where it is used and optional where pods have an identity of
their own: `everloop-store` (AWS_...), `everloop-kubeflow` (KUBEFLOW_TOKEN) for train, `everloop-git` (files ssh-privatekey
and known_hosts) for offer. `here` they are the worker's own, as is the name that git commits under.
"""

import os
import shlex
from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, BaseOperator

VERSION = "0.1.0"  # of the images: Everloop's own, as in pyproject.toml
NO = 1  # the exit code of a command whose answer is no
COMMITTER = {
    "EVERLOOP_ACTOR": "airflow",
    "GIT_AUTHOR_NAME": "Everloop",
    "GIT_AUTHOR_EMAIL": "everloop@localhost",
    "GIT_COMMITTER_NAME": "Everloop",
    "GIT_COMMITTER_EMAIL": "everloop@localhost",
    "GIT_SSH_COMMAND": "ssh -i /etc/everloop/git/ssh-privatekey -o IdentitiesOnly=yes "
    "-o UserKnownHostsFile=/etc/everloop/git/known_hosts -o StrictHostKeyChecking=yes",
}
READ = ("EVERLOOP_HOME", "KUBEFLOW_ENDPOINT", "KUBEFLOW_NAMESPACE", "EVERLOOP_GIT")


def setting(name: str, default: str = "") -> str:
    return os.environ.get(name, "") or default


def command(task: str, *words: str, role: str, secrets: tuple[str, ...]) -> BaseOperator:
    """`everloop WORDS` as a task. A word may be a template of values that Airflow made: nobody's text reaches the shell."""
    if setting("EVERLOOP_RUN_IN", "pods") == "here":
        from airflow.providers.standard.operators.bash import BashOperator

        return BashOperator(
            task_id=task,
            bash_command="exec everloop " + shlex.join(words),
            append_env=True,
            skip_on_exit_code=NO,
        )
    return pod(task, *words, role=role, secrets=secrets)


def pod(task: str, *words: str, role: str, secrets: tuple[str, ...]) -> BaseOperator:
    """A pod that a namespace with the Pod Security Standard *restricted* admits, without a Kubernetes token."""
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
    from kubernetes.client import models as k8s

    volumes = [k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource(size_limit="2Gi"))]
    mounts = [k8s.V1VolumeMount(name="tmp", mount_path="/tmp")]
    variables = {name: value for name in READ if (value := setting(name))}
    if role == "gitops":
        key = k8s.V1SecretVolumeSource(secret_name="everloop-git", default_mode=0o440, optional=True)
        volumes.append(k8s.V1Volume(name="git", secret=key))
        mounts.append(k8s.V1VolumeMount(name="git", mount_path="/etc/everloop/git", read_only=True))
        variables |= COMMITTER
    image = "/".join(filter(None, (setting("EVERLOOP_REGISTRY").rstrip("/"), f"everloop/{role}:{VERSION}")))
    return KubernetesPodOperator(
        task_id=task,
        name=f"everloop-{task}",
        namespace=setting("EVERLOOP_NAMESPACE", "everloop"),
        image=image,
        cmds=["everloop"],
        arguments=list(words),
        env_vars=variables,
        env_from=[k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=name, optional=True)) for name in secrets],
        labels={"app.kubernetes.io/name": "everloop", "app.kubernetes.io/component": "retrain"},
        container_resources=k8s.V1ResourceRequirements(
            requests={"cpu": "100m", "memory": "512Mi"}, limits={"cpu": "1", "memory": "2Gi"}
        ),
        security_context=k8s.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=65532,
            fs_group=65532,
            seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
        ),
        container_security_context=k8s.V1SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=k8s.V1Capabilities(drop=["ALL"]),
        ),
        volumes=volumes,
        volume_mounts=mounts,
        service_account_name="everloop-steps",
        automount_service_account_token=False,
        skip_on_exit_code=NO,
        on_finish_action="delete_succeeded_pod",  # a failed one stays, for `kubectl describe`
        startup_timeout_seconds=600,
        reattach_on_restart=True,  # after a restart of the scheduler: the same pod, not a second one
    )


def sources() -> list[str]:
    return [
        f"--{kind}={url}"
        for kind, name in (("events", "EVERLOOP_EVENTS"), ("items", "EVERLOOP_ITEMS"))
        for url in setting(name).split()
    ]


with DAG(
    dag_id="everloop_retrain",
    description="One training run of the recommender a night, and its release on its way to people",
    doc_md=__doc__,
    schedule=setting("EVERLOOP_SCHEDULE", "17 3 * * *"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # nights that were missed teach nothing that the last one does not
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    default_args={
        "retries": 2,  # safe: see above
        "retry_delay": timedelta(seconds=float(setting("EVERLOOP_RETRY_SECONDS", "120"))),
        "retry_exponential_backoff": True,
        "execution_timeout": timedelta(hours=6),
    },
    tags=["everloop"],
) as dag:
    train = command(
        "train",
        *("submit", "--wait", "--json", "--name=retrain-{{ run_id }}", *sources()),
        role="monitoring",
        secrets=("everloop-store", "everloop-kubeflow"),
    )
    if environment := setting("EVERLOOP_ENVIRONMENT"):
        offer = command(
            "offer",
            *("gitops", "sync", f"--env={environment}"),
            role="gitops",
            secrets=("everloop-store",),
        )
        train >> offer
