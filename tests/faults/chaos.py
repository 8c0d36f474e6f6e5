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
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TypeVar

import orjson
from rich.console import Console

from tests.faults.acts import broker, database, messages, providers, queues, workers
from tests.faults.rounds import Round, table, unfinished
from tests.faults.scene import Scene, scene
from worker.errors import KabarError

_WORKERS = 2
_PER_SECOND = 200
_LONGEST_ROUND_SECONDS = 600
_WIDTH = 100

Service = TypeVar("Service")

ROUNDS: Sequence[Callable[[Scene], Awaitable[Round]]] = (
    partial(workers.kill_workers, kills=8),
    workers.replace_workers,
    *(partial(providers.misbehave, trouble=trouble) for trouble in providers.TROUBLES),
    providers.fall_silent_alone,
    partial(providers.go_away, waiting=2000),
    messages.publish_bad_messages,
    partial(messages.publish_poison, innocents=1000),
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
)
"""What is played, in this order; each leaves the scene as it found it."""


def _own(service: Service | None) -> Service:
    assert service is not None, "chaos plays on services of its own"
    return service


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
    # /var/tmp and not /tmp: that may be memory, on which waiting for the disk costs nothing.
    with tempfile.TemporaryDirectory(prefix="kabar-chaos-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        async with scene(Path(folder), workers=_WORKERS, slack_per_second=_PER_SECOND) as stage:
            while not played or monotonic() < until:
                for play in ROUNDS:
                    if len(played) >= len(ROUNDS) and monotonic() >= until:
                        break
                    played.append(await _round(stage, play))
                    told.print(f"{len(played)}. {played[-1].line()}", markup=False, soft_wrap=True)
    return played


async def _round(stage: Scene, play: Callable[[Scene], Awaitable[Round]]) -> Round:
    """Play one fault, and leave as many workers as there were."""
    try:
        async with asyncio.timeout(_LONGEST_ROUND_SECONDS):
            played = await play(stage)
    except (TimeoutError, AssertionError) as error:
        played = unfinished(str(getattr(play, "func", play).__name__), f"{type(error).__name__} {error}")
    dead = [one for one in stage.workers if one.process.returncode is not None]
    stage.workers = [one for one in stage.workers if one not in dead]
    for one in stage.workers[_WORKERS:]:
        await stage.end(one)
    await stage.start(_WORKERS - len(stage.workers))
    ended = tuple(f"a worker ended by itself: {one.lines[-1:]}" for one in dead)
    return replace(played, amiss=(*played.amiss, *ended))


def _unwind_on_sigterm() -> None:
    """Let SIGTERM do what Ctrl-C does, so that every process we started is stopped."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
