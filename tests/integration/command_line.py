"""Runs `kabar` as an operator does: a process of its own, set by environment variables alone."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
from pydantic import SecretStr

from worker.settings import Settings, variable

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> object:
        """What was printed, as JSON."""
        return orjson.loads(self.out)


async def kabar(environment: Mapping[str, str], *arguments: str, given: bytes = b"") -> Answer:
    """Run one command; `given` is its standard input."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "worker.cli", *arguments,
        stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=ROOT, env={"LANG": "C.UTF-8", **kept, **environment},
    )  # fmt: skip
    out, err = await running.communicate(given)
    assert running.returncode is not None
    return Answer(running.returncode, out.decode(), err.decode())


def environment_of(settings: Settings, **more: str) -> dict[str, str]:
    """Write settings as environment variables."""
    given = {variable(name): _written(getattr(settings, name)) for name in settings.model_fields_set}
    return given | more


def _written(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
