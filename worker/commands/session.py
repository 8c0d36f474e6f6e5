"""What a command has open while it works: the ledger, the broker where it publishes, a file it was given."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

import typer
from aiormq.abc import AbstractConnection

from worker import log
from worker.broker.publisher import Publisher
from worker.errors import ServiceUnavailable
from worker.ledger.connection import Ledger, advice
from worker.settings import Settings

T = TypeVar("T")
_PATIENCE_SECONDS = 5.0


def run_command(work: Coroutine[object, object, T]) -> T:
    """Run a command to its end. What it prints is all that is printed: there is no log."""
    log.configure("critical", "json")
    return asyncio.run(work)


def operator() -> str:
    """Answer who works here, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a file to be read, for the block; `-` is standard input. BadParameter where it cannot be."""
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = file.open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    with stream:
        yield stream


@asynccontextmanager
async def open_ledger(settings: Settings) -> AsyncIterator[Ledger]:
    """Open the ledger for the block. What an operator can mend is raised as `ServiceUnavailable`, with the remedy."""
    ledger = Ledger(settings.database_url.get_secret_value(), connections=2)
    try:
        await ledger.open()
        yield ledger
    except BrokenPipeError:
        raise  # whoever reads what is printed has read enough, as `head` does: no trouble of the database
    except Exception as error:
        remedy = advice(error)
        if remedy:
            raise ServiceUnavailable(remedy) from None
        raise
    finally:
        await ledger.aclose()


@asynccontextmanager
async def open_publisher(settings: Settings) -> AsyncIterator[Publisher]:
    """Open a publisher for the block. `ServiceUnavailable` where the broker does not answer within 5 s."""
    publisher = Publisher(settings.amqp_urls, _declare_nothing)
    link = asyncio.create_task(publisher.link.run())
    try:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await publisher.link.up.wait()
        except TimeoutError:
            raise ServiceUnavailable(
                f"{publisher.link.outage}; nothing was changed. Check that it runs and that KABAR_AMQP_URL is right"
            ) from None
        yield publisher
    finally:
        link.cancel()
        with suppress(asyncio.CancelledError):
            await link
        await publisher.link.aclose()


async def _declare_nothing(_: AbstractConnection) -> None:
    """Queues are the workers' business: a command only uses what is there."""
