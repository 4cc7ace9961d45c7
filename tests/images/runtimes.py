"""Runs the images that were built here, as locked in as Kubernetes runs them: read-only, no network, no rights.

>>> runtime = found()
>>> runtime("everloop/serving:0.1.0", "everloop", "--version")
CompletedProcess(args=..., returncode=0, stdout='everloop 0.1.0\\n', stderr='')

With docker or podman where one answers, else with runc over what buildah built (BUILDER names it with its options).
"""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]
LIMIT_SECONDS = 120


def tool() -> list[str]:
    """The words before `build` in BUILDER: a program with its options."""
    words = shlex.split(os.environ.get("BUILDER", "docker build"))
    return words[:-1] if words[-1] in ("build", "bud") else words


def found() -> Run | str:
    """What runs an image, or a sentence why nothing does."""
    program = Path(tool()[0]).name
    if program in ("docker", "podman"):
        answer = call(*tool(), "info") if shutil.which(program) else None
        if answer is None or answer.returncode:
            return f"{program} does not answer here; BUILDER names another builder (docker build, podman build, buildah bud)"
        return contained
    if program == "buildah":
        if os.geteuid() or not shutil.which("runc"):
            return "images of buildah are run by runc, as root; runc or root is missing"
        return by_runc
    return f"{program} (BUILDER) is no builder that these tests can run images of"


def call(*command: str) -> Done:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS)


def config(image: str) -> dict[str, Any]:
    """The image's own configuration (User, Env, Entrypoint, Labels ...); empty when there is no such image."""
    if Path(tool()[0]).name == "buildah":
        answer = call(*tool(), "inspect", "--type", "image", image)
        return dict(json.loads(answer.stdout)["OCIv1"]["config"]) if answer.returncode == 0 else {}
    answer = call(*tool(), "image", "inspect", image)
    return dict(json.loads(answer.stdout)[0]["Config"]) if answer.returncode == 0 else {}


def contained(image: str, *command: str) -> Done:
    locked = ["--read-only", "--tmpfs", "/tmp", "--network", "none", "--cap-drop", "ALL"]
    locked += ["--security-opt", "no-new-privileges", "--entrypoint", command[0]]
    return call(*tool(), "run", "--rm", *locked, image, *command[1:])


def by_runc(image: str, *command: str) -> Done:
    container = call(*tool(), "from", "--pull-never", image).stdout.strip()
    try:
        root = call(*tool(), "mount", container).stdout.strip()
        with tempfile.TemporaryDirectory() as bundle:
            (Path(bundle) / "config.json").write_text(json.dumps(_spec(root, config(image), command)))
            return call("runc", "run", "--bundle", bundle, f"everloop-test-{uuid.uuid4().hex[:8]}")
    finally:
        call(*tool(), "rm", container)


def _spec(root: str, image: dict[str, Any], command: tuple[str, ...]) -> dict[str, Any]:
    """A container by the OCI runtime specification 1.0: runs as the image's user, may write to /tmp only."""
    uid, gid = map(int, image["User"].split(":"))
    kept = ["nosuid", "noexec", "nodev"]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": root, "readonly": True},
        "process": {
            "user": {"uid": uid, "gid": gid},
            "args": list(command),
            "env": image["Env"],
            "cwd": image["WorkingDir"],
            "noNewPrivileges": True,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "mode=755", "size=65536k"],
            },
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": [*kept, "mode=1777"]},
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }
