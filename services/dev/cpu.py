"""CPU seconds and memory of processes, as Linux counts them, and what they run on."""

import os
import platform
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


def highest_bytes(pid: int) -> int:
    """Return the most memory that a process has had, resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kilobytes = next(line for line in lines if line.startswith("VmHWM:")).split()[1]
    return int(kilobytes) * 1024


def hardware() -> str:
    """Return what figures were taken on, in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    version = platform.python_version()
    return f"{cores} cores of {model}, {memory:.0f} GiB, Linux, Python {version}"


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
