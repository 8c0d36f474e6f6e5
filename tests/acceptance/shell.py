"""One process in which an operator runs many commands, so that each costs its work and not a start of Python.

As a program it is that process: it reads one call a line, `[arguments, environment, stdin]` as JSON, and answers with
a line `[code, output, errors]`. Every call goes through the program's own entry.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import sys
import tempfile
import traceback
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout

from tests.integration.command_line import ROOT, Answer

_LONGEST_ANSWER = 16 * 1024 * 1024


class Shell:
    """Runs commands, one after the other."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, arguments: Sequence[str], environment: Mapping[str, str], given: str = "") -> Answer:
        """Run `kabar ARGUMENTS`; `given` is its standard input."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([arguments, environment, given]).encode() + b"\n")
        answer = await self._process.stdout.readline()
        return Answer(*json.loads(answer))


@asynccontextmanager
async def a_shell() -> AsyncIterator[Shell]:
    """A process for commands, while the block runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", __name__), stdin=PIPE, stdout=PIPE, cwd=ROOT, limit=_LONGEST_ANSWER
    )
    try:
        yield Shell(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def _serve() -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("KABAR_")}
    calls, answers = sys.stdin, sys.stdout
    for line in calls:
        arguments, environment, given = json.loads(line)
        os.environ.clear()
        os.environ.update(own | environment)
        answers.write(json.dumps(_call(arguments, given)) + "\n")
        answers.flush()


def _call(arguments: Sequence[str], given: str) -> tuple[int, str, str]:
    from worker.cli import main  # noqa: PLC0415 - loaded by the process that runs commands only

    printed, complained = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(stream, "utf-8", write_through=True) for stream in (printed, complained))
    sys.argv = ["kabar", *arguments]
    code: object = 0
    with redirect_stdout(out), redirect_stderr(err), tempfile.TemporaryFile("w+", encoding="utf-8") as sys.stdin:
        sys.stdin.write(given)
        sys.stdin.seek(0)
        try:
            main()
        except SystemExit as end:
            code = end.code
        except Exception:  # noqa: BLE001 - as Python itself would tell of it
            traceback.print_exc()
            code = 1
        gc.collect()  # what was left open complains now, where it is heard
    return int(str(code or 0)), printed.getvalue().decode(), complained.getvalue().decode()


if __name__ == "__main__":
    _serve()
