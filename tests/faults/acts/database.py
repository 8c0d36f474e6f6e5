"""What happens to the database: it is torn down, hangs, cuts its sessions, is made read-only, or has no room left."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import asyncpg

from tests.faults.acts.readiness import told
from tests.faults.producer import SOURCE
from tests.faults.rounds import Round
from tests.faults.scene import Scene
from worker.dev.postgres import Postgres
from worker.errors import ServiceUnavailable

_PER_SECOND = 50
_WARM = 60
_REST_SECONDS = 90
_BACK_WITHIN_SECONDS = 5.0
_DISK_MIB = 160
_MEANWHILE = 300
_LEAVE_BYTES = 256 * 1024
_ATTEMPTS = """
SELECT e.id::int AS number, d.channel, d.attempt FROM deliveries d JOIN events e ON e.key = d.event_key
WHERE e.source = $1 AND e.type = 'scene.marked'
"""


async def restart_at_once(stage: Scene, server: Postgres) -> Round:
    """Tear the server down under load without letting it write anything, and start it again at once."""
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(_WARM, since=monotonic())
        await server.stop(at_once=True)
        await server.resume()
        again = await _until_sending(stage)
    return await _round("database torn down and started", stage, numbers, again)


async def cut_sessions(stage: Scene, *, seconds: float) -> Round:
    """Terminate whatever works in a transaction, ten times a second, for so long."""
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(_WARM, since=monotonic())
        cut, until = 0, monotonic() + seconds
        while monotonic() < until:
            rows = await stage.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kabar'"
                " AND (state <> 'idle' OR random() < 0.2)"
            )
            cut += len(rows)
            await asyncio.sleep(0.1)
        again = await _until_sending(stage)
    return await _round(f"{cut} sessions terminated in {seconds:.0f} s", stage, numbers, again, more=_too_few(cut))


def _too_few(cut: int) -> tuple[str, ...]:
    return () if cut else ("not one session was terminated",)


async def freeze_database(stage: Scene, server: Postgres, *, seconds: float) -> Round:
    """Let the server and its sessions hang under load for so long."""
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(_WARM, since=monotonic())
        server.freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            server.thaw()
        again = await _until_sending(stage)
    return await _round(f"database frozen for {seconds:.0f} s", stage, numbers, again)


async def outlast_consumers(stage: Scene, server: Postgres, *, seconds: float) -> Round:
    """Let the server be away for longer than the broker waits for whoever holds a message, more than 20 times over.

    At the 21st time it gives the message up. The scene's broker must be impatient, and it must have no worker yet.
    """
    await stage.start(1)  # two would give each other what they give up, at twice the pace
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(_WARM, since=monotonic())
    await server.stop(at_once=True)
    numbers += await stage.publish(_MEANWHILE)
    await asyncio.sleep(seconds)
    silent = await told(stage, "database")
    await server.resume()
    again = await _until_sending(stage)
    letters = [str(row) for row in await stage.ask("SELECT kind, reason FROM dead_letters LIMIT 1")]
    what = f"database away for {seconds:.0f} s, broker impatient"
    return await _round(what, stage, numbers, again, more=(*silent, *letters))


async def make_read_only(stage: Scene, server: Postgres, *, seconds: float) -> Round:
    """Let the database refuse every write under load for so long: readiness must say why nothing is done."""
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(_WARM, since=monotonic())
        await _set(server.url, "default_transaction_read_only", "on")
        silent = await told(stage, "ReadOnly")
        await asyncio.sleep(seconds)
        silent += await told(stage, "ReadOnly")
        await _set(server.url, "default_transaction_read_only", "off")
        again = await _until_sending(stage)
    return await _round(f"database read-only for {seconds:.0f} s", stage, numbers, again, more=silent)


async def fill_disk(stage: Scene, server: Postgres, disk: Path, *, seconds: float) -> Round:
    """Leave the database no room to write under load for so long; a server that gave up is started again.

    `disk` is a small mount that holds nothing but the server's data.
    """
    ballast = disk / "ballast"
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(_WARM, since=monotonic())
        await asyncio.to_thread(_fill, ballast)
        silent = await told(stage, "database")
        await asyncio.sleep(seconds)
        ballast.unlink()
        gave_up = not server.is_running
        if gave_up:
            await server.resume()
        again = await _until_sending(stage)
    what = "and the server gave up" if gave_up else "and the server stood"
    return await _round(f"disk full for {seconds:.0f} s, {what}", stage, numbers, again, more=silent)


@contextmanager
def small_disk(mount: Path) -> Iterator[Path]:
    """Mount a disk so small that it can be filled until the block ends; `ServiceUnavailable` where one cannot."""
    mount.mkdir()
    if os.geteuid() != 0:
        raise ServiceUnavailable("There is no small disk: only root may mount one.")
    options = ["-t", "tmpfs", "-o", f"size={_DISK_MIB}m"]
    made = subprocess.run(["mount", *options, "kabar-test", mount], check=False, capture_output=True)
    if made.returncode != 0:
        raise ServiceUnavailable(f"There is no small disk: {made.stderr.decode().strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", mount], check=True)


def _fill(ballast: Path) -> None:
    """Take nearly all that is free, then byte by byte what others give back meanwhile."""
    with ballast.open("wb", buffering=0) as file:
        room = os.statvfs(ballast.parent)
        file.write(bytes(max(0, room.f_bavail * room.f_frsize - _LEAVE_BYTES)))


async def _round(
    fault: str, stage: Scene, numbers: Iterable[int], again: float, *, more: tuple[str, ...] = ()
) -> Round:
    recovered = await stage.quiet(within=_REST_SECONDS)
    amiss = [*more, *await _unleased(stage)]
    if again > _BACK_WITHIN_SECONDS:
        amiss.append(f"sending again took {again:.1f} s, at most {_BACK_WITHIN_SECONDS:g}")
    books = await stage.tally(numbers)
    return Round(f"{fault} (sending again after {again:.1f} s)", books, recovered, amiss=tuple(amiss))


async def _unleased(stage: Scene) -> list[str]:
    """Say what was sent more often than it was leased: each lease is an attempt, and each attempt one send at most."""
    sent = Counter((one.number, one.channel) for one in stage.fakes.entries() if one.accepted)
    rows = await stage.ask(_ATTEMPTS, SOURCE)
    return [f"{tuple(row)[:2]} was sent without a lease" for row in rows if sent[row[0], row[1]] > row[2]][:3]


async def _until_sending(stage: Scene) -> float:
    """Answer how many seconds it takes from now until a message goes out; returns when many have."""
    began = monotonic()
    first = await stage.until_accepted(1, since=began)
    await stage.until_accepted(_WARM, since=began)
    return first - began


async def _set(url: str, name: str, value: str) -> None:
    connection = await asyncpg.connect(url, server_settings={"default_transaction_read_only": "off"})
    try:
        await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()
