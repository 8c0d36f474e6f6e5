"""The worker processes under measurement, started as anyone would start them: `python -m worker.cli run …`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.bench import cost
from tests.bench.errors import RunFailed
from tests.bench.sinks import ROOT
from worker.dev import process as child

_READY = b"process.ready"
_READY_SECONDS = 60
_DRAIN_SECONDS = 30
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Ready:
    """The moment a worker said that it is ready: the monotonic clock, and the CPU seconds its start had taken."""

    at: float
    cpu_seconds: float


@dataclass(slots=True)
class Worker:
    """One worker process. All it prints goes to `log`."""

    process: Process
    log: Path
    may_end: bool = False
    _ready: asyncio.Future[Ready] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    async def ready(self) -> Ready:
        """Wait for the line by which the worker says that it is ready."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                return await asyncio.shield(self._ready)
        except TimeoutError:
            raise RunFailed(f"worker {self.pid} was not ready in {_READY_SECONDS} s. {child.tail(self.log)}") from None

    def kill(self) -> None:
        """Kill it with signal 9, mid-sentence."""
        self.may_end = True
        self.process.kill()

    async def stop(self) -> None:
        """Let it drain, as an orchestrator would; past 30 s, kill it."""
        self.may_end = True
        await child.end(self.process, signal.SIGTERM, timeout_seconds=_DRAIN_SECONDS)

    async def follow(self) -> None:
        """Write down what it prints until it ends. Raises `RunFailed` where nobody wanted it to end."""
        assert self.process.stdout is not None
        with self.log.open("ab") as log:
            async for line in self.process.stdout:
                if _READY in line and not self._ready.done():
                    self._ready.set_result(Ready(monotonic(), cost.cpu_seconds(self.pid)))
                log.write(line)
        if not self.may_end:
            raise RunFailed(f"worker {self.pid} ended by itself. {child.tail(self.log)}")


@dataclass(frozen=True, slots=True)
class Fleet:
    """How workers are started here: their settings, and the folder for their logs."""

    environment: Mapping[str, str]
    folder: Path

    @asynccontextmanager
    async def running(self, count: int) -> AsyncIterator[list[Worker]]:
        """Run `count` workers until the block ends; then each drains. Raises `RunFailed` if one ends before."""
        workers: list[Worker] = []
        async with asyncio.TaskGroup() as followers:
            try:
                for index in range(count):
                    workers.append(await self._start(f"worker-{index}"))
                    followers.create_task(workers[-1].follow())
                yield workers
                await asyncio.gather(*(worker.stop() for worker in workers))
            finally:
                for worker in workers:
                    worker.may_end = True
                    if worker.process.returncode is None:
                        child.kill_group(worker.pid)

    async def command(self, *arguments: str) -> None:
        """Run one command of the worker's command line to its end. Raises `RunFailed` with its output if it fails."""
        log = self.folder / f"{arguments[0]}.log"
        running = await child.spawn(
            [sys.executable, "-m", "worker.cli", *arguments], log=log, environment=self._full_environment()
        )
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await running.wait()
        finally:
            await child.end(running, signal.SIGTERM, timeout_seconds=5)
        if running.returncode != 0:
            raise RunFailed(f"`kabar {' '.join(arguments)}` failed. {child.tail(log)}")

    def last_words(self) -> str:
        """Quote the end of each worker's log."""
        return "\n".join(child.tail(log) for log in sorted(self.folder.glob("worker-*.log")))

    async def _start(self, name: str) -> Worker:
        process = await asyncio.create_subprocess_exec(
            *child.dying_with_us(signal.SIGKILL),
            *(sys.executable, "-m", "worker.cli", "run", "intake", "courier", "timer"),
            stdout=PIPE,
            stderr=STDOUT,
            env=self._full_environment(),
            limit=_LONGEST_LINE,
            start_new_session=True,
        )
        return Worker(process, self.folder / f"{name}.log")

    def _full_environment(self) -> dict[str, str]:
        """Ours without settings of Kabar that happen to be there, with those of this measurement."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("KABAR_")}
        return {**inherited, **self.environment, "PYTHONPATH": str(ROOT)}
