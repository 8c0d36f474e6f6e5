"""`kabar chaos`: plays every fault in turn on this machine, and prints what each of them left behind.

Starts everything it needs on loopback and on new data, a database that waits for the disk among it, and leaves nothing
behind. Ends with 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic
from typing import NamedTuple, TypeVar

import orjson
from rich.console import Console

from tests.faults.acts import broker, clocks, database, messages, providers, queues, rests, upgrades, wires, workers
from tests.faults.rounds import Round, table, unfinished
from tests.faults.scene import Scene, scene
from worker.dev.postgres import Postgres
from worker.dev.rabbitmq_cluster import Cluster
from worker.errors import KabarError, ServiceUnavailable
from worker.ledger.migrate import migrate

_WORKERS = 2
_PER_SECOND = 200
_LONGEST_ROUND_SECONDS = 600
_WIDTH = 100
_OFF = timedelta(hours=1)

Service = TypeVar("Service")
Play = Callable[[Scene], Awaitable[Round]]


class Chapter(NamedTuple):
    """Rounds that are played one after the other on one scene; each leaves it as it found it, but for the last."""

    name: str
    scene: Callable[[Path], AbstractAsyncContextManager[Scene]]
    rounds: Sequence[Play]
    workers: int = _WORKERS


@asynccontextmanager
async def _on_small_disk(folder: Path) -> AsyncIterator[Scene]:
    with database.small_disk(folder / "disk") as disk:
        async with Postgres.start(disk / "postgres") as server:
            await migrate(server.url)
            async with scene(folder, database_url=server.url) as stage:
                stage.postgres = server
                yield stage


@asynccontextmanager
async def _on_cluster(folder: Path) -> AsyncIterator[Scene]:
    async with (
        Cluster.start(folder / "cluster") as cluster,
        scene(folder, amqp_url=",".join(cluster.urls)) as stage,
    ):
        stage.cluster = cluster
        yield stage


@asynccontextmanager
async def _with_wrong_clocks(folder: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(clocks.skewed_by, _OFF)
    async with scene(folder, workers=0) as stage:
        yield stage


def _own(service: Service | None) -> Service:
    assert service is not None, "chaos plays on services of its own"
    return service


async def _fill_disk(stage: Scene) -> Round:
    server = _own(stage.postgres)
    return await database.fill_disk(stage, server, server.data_dir.parent, seconds=10)


CHAPTERS: Sequence[Chapter] = (
    Chapter(
        "one broker",
        partial(scene, workers=_WORKERS, slack_per_second=_PER_SECOND),
        (
            partial(workers.kill_workers, kills=8, hurry=True),
            workers.replace_workers,
            *(partial(providers.misbehave, trouble=trouble) for trouble in providers.TROUBLES),
            *(partial(rests.ask_for_rest, name=name) for name in rests.SCOPES),
            providers.fall_silent_alone,
            partial(providers.go_away, waiting=1000),
            messages.publish_bad_messages,
            messages.publish_enormous,
            partial(messages.publish_poison, innocents=1000, hurry=True),
            partial(messages.publish_everything_thrice, events=1000),
            partial(queues.purge_queues, events=300),
            partial(queues.lose_jobs, jobs=5),
            queues.delete_queues,
            lambda stage: broker.stop_broker(stage, _own(stage.rabbitmq), seconds=20),
            lambda stage: broker.freeze_broker(stage, _own(stage.rabbitmq), seconds=20),
            lambda stage: broker.exhaust_memory(stage, _own(stage.rabbitmq), seconds=30),
            lambda stage: database.restart_at_once(stage, _own(stage.postgres)),
            partial(database.cut_sessions, seconds=10),
            lambda stage: database.freeze_database(stage, _own(stage.postgres), seconds=10),
            lambda stage: database.make_read_only(stage, _own(stage.postgres), seconds=5),
            upgrades.migrate_while_running,
        ),
    ),
    Chapter(
        "bad wires",
        partial(scene, workers=_WORKERS, through=wires.WIRES),
        tuple(
            partial(wires.trouble_wire, name=name, trouble=trouble) for name in wires.WIRES for trouble in wires.WORST
        ),
    ),
    Chapter(
        "three nodes",
        _on_cluster,
        (
            lambda stage: broker.kill_leaders(stage, _own(stage.cluster), rest_seconds=5),
            lambda stage: broker.freeze_leader(stage, _own(stage.cluster), seconds=30),
        ),
    ),
    Chapter("small disk", _on_small_disk, (_fill_disk,)),
    Chapter("clock ahead", _with_wrong_clocks, (partial(clocks.skew_worker, offset=_OFF),), workers=0),
    Chapter("clock behind", _with_wrong_clocks, (partial(clocks.skew_worker, offset=-_OFF),), workers=0),
)
"""What is played, in this order."""


def main(arguments: Sequence[str]) -> int:
    """Play and print. Answers 0 where every promise was kept, 1 where one was not or nothing could be played."""
    options = _parser().parse_args(arguments)
    told = Console(stderr=True, highlight=False)
    try:
        played = asyncio.run(_play(options.minutes, told))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except KabarError as error:
        told.print(f"✗ {error}", style="red", markup=False)
        return 1
    if options.json:
        document = {"cores": os.cpu_count(), "rounds": [one.document() for one in played]}
        sys.stdout.write(orjson.dumps(document).decode() + "\n")
    else:
        width = None if sys.stdout.isatty() else _WIDTH
        Console(highlight=False, width=width).print(table(one.cells() for one in played))
    broken = [f"✗ {one.fault}: {what}" for one in played for what in one.broken()]
    for line in broken:
        told.print(line, style="red", markup=False, soft_wrap=True)
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kabar chaos", description="Play every fault, and count what it does.")
    parser.add_argument("--minutes", type=_count, default=0, metavar="N", help="play on for so long; once by default")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


async def _play(minutes: int, told: Console) -> list[Round]:
    """Play every fault once, and again from the first until the minutes are over."""
    _unwind_on_sigterm()
    played: list[Round] = []
    until = monotonic() + 60 * minutes
    for chapter in CHAPTERS:
        await _chapter(chapter, played, told, until=inf)
    while monotonic() < until:
        for chapter in CHAPTERS:
            await _chapter(chapter, played, told, until=until)
    return played


async def _chapter(chapter: Chapter, played: list[Round], told: Console, *, until: float) -> None:
    """Play a chapter on a scene of its own; where a machine cannot set a later one, it is named and left out."""
    if monotonic() >= until:
        return
    # /var/tmp and not /tmp: that may be memory, on which waiting for the disk costs nothing.
    folder = tempfile.TemporaryDirectory(prefix="kabar-chaos-", dir="/var/tmp", ignore_cleanup_errors=True)
    async with AsyncExitStack() as stack:
        try:
            stage = await stack.enter_async_context(chapter.scene(Path(stack.enter_context(folder))))
        except (TimeoutError, AssertionError) as error:
            played.append(unfinished(chapter.name, f"{type(error).__name__} {error}"))
            return
        except ServiceUnavailable as error:
            if not played:
                raise
            told.print(f"({chapter.name}: not played. {error})", markup=False, soft_wrap=True)
            return
        for play in chapter.rounds:
            if monotonic() >= until:
                return
            played.append(await _round(stage, play, chapter.workers))
            told.print(f"{len(played)}. {played[-1].line()}", markup=False, soft_wrap=True)


async def _round(stage: Scene, play: Play, count: int) -> Round:
    """Play one fault, and leave as many workers as there were."""
    try:
        async with asyncio.timeout(_LONGEST_ROUND_SECONDS):
            played = await play(stage)
    except (TimeoutError, AssertionError) as error:
        played = unfinished(str(getattr(play, "func", play).__name__), f"{type(error).__name__} {error}")
    dead = [one for one in stage.workers if one.process.returncode is not None]
    stage.workers = [one for one in stage.workers if one not in dead]
    for one in stage.workers[count:]:
        await stage.end(one)
    await stage.start(count - len(stage.workers))
    ended = tuple(f"a worker ended by itself: {one.lines[-1:]}" for one in dead)
    return replace(played, amiss=(*played.amiss, *ended))


def _unwind_on_sigterm() -> None:
    """Let SIGTERM do what Ctrl-C does, so that every process we started is stopped."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
