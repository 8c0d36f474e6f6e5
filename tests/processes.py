"""Real worker processes for tests: started as an orchestrator starts them, and ended by their own pid."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from worker.dev.process import dying_with_us
from worker.settings import Settings, variable

ROOT = Path(__file__).parents[1]
NOTHING_MORE: Mapping[str, str] = MappingProxyType({})
_READY_SECONDS = 30.0
_LONGEST_LINE = 1 << 20


@dataclass(slots=True)
class WorkerProcess:
    """One `kabar run …`. `lines` is what it logged."""

    process: Process
    lines: list[dict[str, object]] = field(default_factory=list)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_ready(self) -> None:
        """Wait until it says that it is ready, or has ended."""
        async with asyncio.timeout(_READY_SECONDS):
            await self._ready.wait()

    async def follow(self) -> int:
        """Read what it logs until it ends; answers its exit code."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(json.loads(line) if line.startswith(b"{") else {"event": line.decode()})
            if self.lines[-1]["event"] == "process.ready":
                self._ready.set()
        self._ready.set()
        return await self.process.wait()

    def terminate(self) -> None:
        """Ask it to drain."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self.process.kill()


@asynccontextmanager
async def worker(
    settings: Settings, *arguments: str, environment: Mapping[str, str] = NOTHING_MORE
) -> AsyncIterator[WorkerProcess]:
    """Run `kabar run ARGUMENTS`; drained at the end, killed if that takes over 30 s.

    `environment`: more variables than the settings' and our own.
    """
    process = await asyncio.create_subprocess_exec(
        *map(str, dying_with_us(signal.SIGKILL)),
        *(sys.executable, "-m", "worker.cli", "run", *arguments),
        stdout=PIPE,
        stderr=STDOUT,
        env={**_environment(settings), **environment},
        cwd=ROOT,
        limit=_LONGEST_LINE,
    )
    made = WorkerProcess(process)
    following = asyncio.create_task(made.follow())
    try:
        await made.until_ready()
        yield made
    finally:
        if process.returncode is None:
            made.terminate()
        try:
            await asyncio.wait_for(asyncio.shield(following), 30)
        except TimeoutError:
            made.kill()
            await following


def _environment(settings: Settings) -> Mapping[str, str]:
    ours = {variable(name): _text(getattr(settings, name)) for name in settings.model_fields_set}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KABAR_")}
    return inherited | ours


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ",".join(f"{name}={policy}" for name, policy in value.items())
    return str(getattr(value, "get_secret_value", lambda: value)())
