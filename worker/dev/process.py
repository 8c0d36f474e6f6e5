"""A server of our own on loopback: a port, a process that dies with us, a stop that leaves nothing behind.

Knows nothing of what the process is. Whoever spawns one also stops it, by its own process id.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from worker.errors import ServiceUnavailable

# Below the range from which Linux gives ports to outgoing connections, so that none of those can take ours
# between the look and the server's own bind.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """Give a TCP port on 127.0.0.1 that nobody listens on at this moment."""
    for port in random.sample(_PORTS, k=100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServiceUnavailable("No free TCP port on 127.0.0.1: 100 were tried. Stop what occupies them.")


def dying_with_us(number: signal.Signals) -> list[str | Path]:
    """Give the command prefix by which the kernel sends `number` to a process when its parent dies, however it dies.

    Empty where the system has no `setpriv` (any system but Linux): there only an orderly end stops the process.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", number.name.removeprefix("SIG")] if setpriv else []


async def spawn(command: Sequence[str | Path], *, log: Path, environment: Mapping[str, str] | None = None) -> Process:
    """Start a process in a session of its own, so that Ctrl-C reaches us alone; its output is appended to `log`."""
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *map(str, command),
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            env=environment,
            start_new_session=True,
        )


async def wait_until_ready(
    process: Process, is_ready: Callable[[], Awaitable[bool]], *, name: str, log: Path, timeout_seconds: float
) -> None:
    """Return once `is_ready` answers true; `ServiceUnavailable` quotes the log if it ends or is slow."""
    try:
        async with asyncio.timeout(timeout_seconds):
            while not await is_ready():
                if process.returncode is not None:
                    raise ServiceUnavailable(f"{name} ended while it started. {tail(log)}")
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise ServiceUnavailable(f"{name} was not ready after {timeout_seconds:g} s. {tail(log)}") from None


async def end(process: Process, number: signal.Signals, *, timeout_seconds: float) -> None:
    """Ask a process to stop by a signal and wait for its end; past the timeout, kill it. Safe to call twice.

    The signal goes out before the first await: even if the caller is cancelled again, the process is on its way out.
    """
    if process.returncode is not None:
        return
    process.send_signal(number)
    try:
        async with asyncio.timeout(timeout_seconds):
            await process.wait()
    except TimeoutError:
        kill_group(process.pid)
        await process.wait()


def kill_group(pid: int) -> None:
    """Kill a process that `spawn` started, and what it started in its session."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


async def accepts(port: int) -> bool:
    """Say whether somebody accepts connections on this port of 127.0.0.1."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def tail(log: Path, *, lines: int = 12) -> str:
    """Quote the end of a log for an error message."""
    text = log.read_text(errors="replace").strip() if log.exists() else ""
    return f"The end of {log}:\n" + "\n".join(text.splitlines()[-lines:])
