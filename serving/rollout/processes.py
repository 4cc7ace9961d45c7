"""Processes that outlive who started them, and how to know one again.

>>> process = launch([sys.executable, "-m", "pipelines.cli", "serve"], out=Path("serve.out"), log=Path("serve.log"))
>>> birth_of(process.pid)
'6f4d...:88231'
>>> alive(process.pid, birth_of(process.pid))
True

A pid is used again after its process; a pid together with the boot and the tick at which its process began is not (proc(5)).
"""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
START_TICK, STATE = 19, 0  # fields 22 and 3 of /proc/PID/stat, counted after the command's closing bracket


def launch(command: list[str], out: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that neither our end nor our terminal's ends it.

    out: takes its stdout, from nothing. log: its stderr is added there.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with out.open("wb") as answers, log.open("ab") as complaints:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=answers, stderr=complaints, start_new_session=True
        )


def birth_of(pid: int) -> str:
    """When a process began, as text that no other process has; empty for one that is no more, or waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = BOOT.read_text().strip()
    except (OSError, ValueError):
        return ""
    return "" if fields[STATE] in "ZX" else f"{boot}:{fields[START_TICK]}"


def alive(pid: int, birth: str) -> bool:
    """Whether this very process runs."""
    return bool(birth) and birth_of(pid) == birth


def send(pid: int, birth: str, sign: signal.Signals) -> None:
    """Signal this very process; nothing happens when it is gone."""
    if alive(pid, birth):
        with suppress(ProcessLookupError):
            os.kill(pid, sign)


def writer_of(path: Path) -> int:
    """The process whose stdout a file is; 0 for none. So one is found that began just before its starter was killed."""
    for link in Path("/proc").glob("[0-9]*/fd/1"):
        with suppress(OSError):
            if link.readlink() == path:
                return int(link.parts[2])
    return 0
