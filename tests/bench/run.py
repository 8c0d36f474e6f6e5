"""`kabar bench`: measures speed, cost, latency and memory of the whole job beside the floor of the same run.

Starts everything it needs on loopback and on new data, and leaves nothing behind. CPU seconds are the figures to
trust on a machine that others use too; `others_share` says how much they did.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
from rich.console import Console

from tests.bench import endurance, floor, renders, runs
from tests.bench.hardships import Hardships
from tests.bench.report import Report
from tests.bench.world import World
from worker.errors import KabarError

_FLOOR_EVENTS = 5000
_STEADY_SECONDS = 20
_LONGEST_SECONDS = 1800


def main(arguments: Sequence[str]) -> int:
    """Measure and print. Answers 0 where every bound holds, 1 where one does not or a run failed."""
    options = _parser().parse_args(arguments)
    told = Console(stderr=True, highlight=False)
    try:
        report = asyncio.run(_measure(options, told))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except (KabarError, BaseExceptionGroup) as error:
        for failure in _known(error):
            told.print(f"✗ {failure}", style="red", markup=False)
        return 1
    if options.json:
        sys.stdout.write(orjson.dumps(report.document()).decode() + "\n")
    else:
        report.draw(Console())
    return 0 if report.holds() else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kabar bench", description="Measure the whole job beside its floor.")
    parser.add_argument("--events", type=_count, default=20_000, metavar="N", help="published before workers start")
    parser.add_argument("--steady", type=_count, default=_STEADY_SECONDS, metavar="SECONDS", help="at 100 events/s")
    parser.add_argument("--kill", action="store_true", help="also kill every worker at half-way, and count")
    parser.add_argument("--waiting", type=_count, metavar="N", help="also watch memory while N events wait")
    hardships = parser.add_argument_group("instead of all that, with something in the way")
    hardships.add_argument("--behind", type=_count, metavar="N", help="urgent events while N deliveries wait in bulk")
    hardships.add_argument("--history", type=_count, metavar="N", help="throughput with N finished deliveries")
    hardships.add_argument(
        "--hanging", action="store_true", help="the mails' latency while Slack hangs, and while not, by turns"
    )
    hardships.add_argument(
        "--outage", type=float, metavar="MINUTES", help="drain 20,000 messages after Slack was out of order for so long"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


async def _measure(options: argparse.Namespace, told: Console) -> Report | Hardships:
    _unwind_on_sigterm()
    if options.behind or options.history or options.hanging or options.outage:
        async with asyncio.timeout(_LONGEST_SECONDS):
            return await _measure_hardships(options, told)
    told.print("rendering …")
    first = renders.measure()
    with _folder() as folder:
        async with asyncio.timeout(_LONGEST_SECONDS), World.start(folder) as world:
            told.print(f"floor: {_FLOOR_EVENTS} events …")
            before = await _floor(world)
            told.print(f"main run: {options.events} events, then {options.steady} s at 100 events/s …")
            full, steady, memory = await runs.full_then_steady(world, options.events, options.steady)
            told.print(f"floor again: {_FLOOR_EVENTS} events …")
            # The machine's own speed changes within a minute: the floor beneath a run is that of before and after it.
            lowest = floor.mean(before, await _floor(world))
            killed = waiting = None
            if options.kill:
                told.print(f"kill: {options.events} events, kill -9 at half-way, until the leases have run out …")
                killed = await runs.killed(world, options.events)
            if options.waiting:
                told.print(f"waiting: {options.waiting} events …")
                waiting = await runs.waiting(world, options.waiting)
    told.print("rendering again …")
    rendering = renders.best(first, renders.measure())
    return Report(lowest, rendering, full, steady, memory, killed, waiting)


async def _floor(world: World) -> floor.Floor:
    return await floor.measure(
        world.rabbitmq.url,
        world.postgres.url,
        smtp_port=world.sinks.smtp_port,
        http_port=world.sinks.http_port,
        events=_FLOOR_EVENTS,
    )


async def _measure_hardships(options: argparse.Namespace, told: Console) -> Hardships:
    hardships = Hardships()
    if options.behind:
        told.print(f"urgent events behind {options.behind} deliveries …")
        with _folder() as folder:
            hardships.measured.append(await endurance.behind(folder, options.behind))
    if options.history:
        told.print(f"with {options.history} finished deliveries …")
        with _folder() as folder:
            hardships.measured.append(await endurance.long_history(folder, options.history))
    if options.hanging:
        told.print("with Slack hanging and well by turns, 7 minutes …")
        with _folder() as folder:
            hardships.measured.append(await endurance.hanging(folder))
    if options.outage:
        told.print(f"after {options.outage:g} minutes without Slack …")
        with _folder() as folder:
            hardships.measured.append(await endurance.outage(folder, options.outage))
    return hardships


@contextmanager
def _folder() -> Iterator[Path]:
    # /var/tmp and not /tmp: that may be memory, on which waiting for the disk costs nothing.
    with tempfile.TemporaryDirectory(prefix="kabar-bench-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _unwind_on_sigterm() -> None:
    """Let SIGTERM do what Ctrl-C does, so that every process we started is stopped."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _known(error: BaseException) -> list[KabarError]:
    """Answer the failures that explain themselves; raises the others as they are."""
    if isinstance(error, KabarError):
        return [error]
    if not isinstance(error, BaseExceptionGroup):
        raise error
    return [known for each in error.exceptions for known in _known(each)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
