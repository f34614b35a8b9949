"""CPU seconds of processes, as Linux counts them."""

import os
from collections.abc import Iterable
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return user and system time of these processes, and of those children that ended."""
    return sum(_of(pid) for pid in pids)


def family(pid: int) -> list[int]:
    """Return *pid* and its children: a Postgres is a process per connection."""
    folders = (each for each in Path("/proc").iterdir() if each.name.isdigit())
    return [pid, *(int(each.name) for each in folders if _parent(each) == pid)]


def _fields(folder: Path) -> list[str]:
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _parent(folder: Path) -> int:
    fields = _fields(folder)
    return int(fields[1]) if fields else -1


def _of(pid: int) -> float:
    fields = _fields(Path(f"/proc/{pid}"))
    return sum(map(int, fields[11:15])) / TICK if fields else 0.0
