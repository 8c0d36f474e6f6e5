"""What a process has used: CPU seconds and memory, read from the kernel. Linux only, as the measurement is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Clocks:
    """CPU seconds used up to one moment, by the whole machine and by each part of the measurement."""

    at: float
    machine: float
    workers: float
    database: float
    broker: float
    sinks: float
    ourselves: float

    def others_share_since(self, early: Clocks) -> float:
        """Answer which part of the machine's time went to processes that are no part of this: how quiet it was."""
        ours = self._parts() - early._parts()
        capacity = (self.at - early.at) * (psutil.cpu_count() or 1)
        return max(0.0, self.machine - early.machine - ours) / capacity

    def _parts(self) -> float:
        return self.workers + self.database + self.broker + self.sinks + self.ourselves


def cpu_seconds(pid: int) -> float:
    """Answer the user and system time of a process, its living descendants, and those it has already buried."""
    process = psutil.Process(pid)
    total = _times(process)
    for descendant in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ended between the list and the look
            total += _times(descendant)
    return total


def _times(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def busy_seconds() -> float:
    """Answer the CPU time that all processes of the machine have used so far."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq


def rss_mib(pid: int) -> float:
    """Answer the resident memory at this moment."""
    return _field(pid, "status", "VmRSS:")


def peak_rss_mib(pid: int) -> float:
    """Answer the most resident memory the process ever had, as the kernel counted it."""
    return _field(pid, "status", "VmHWM:")


def pss_mib(pid: int) -> float:
    """Answer the resident memory, that shared with other processes divided among them."""
    return _field(pid, "smaps_rollup", "Pss:")


def _field(pid: int, file: str, name: str) -> float:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise ValueError(f"/proc/{pid}/{file} has no field {name}")
