"""Bring the ledger's schema to this version. Migrations are plain SQL under `migrations/versions`."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from worker.errors import ServiceUnavailable
from worker.ledger.connection import advice

_LOCK = 0x6B61626172  # "kabar": two processes that migrate at once do so one after the other


def newest_revision() -> str:
    """Answer the schema version this code is written for."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


async def current_revision(database_url: str) -> str:
    """Answer the schema version the database has; '' where it has none."""
    engine = _engine(database_url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_revision)
    finally:
        await engine.dispose()


def is_newer(revision: str) -> bool:
    """Say whether a schema version was made by a newer Kabar: this one has never heard of it."""
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return bool(revision) and revision not in known


async def migrate(database_url: str) -> None:
    """Upgrade the schema to the newest version. Safe to call twice, and by many processes at once.

    Raises `ServiceUnavailable`, with the remedy, where the database cannot be reached.

    A schema that a newer Kabar has made is left as it is: migrations add and take nothing away, so that this version
    works on it while an upgrade is rolled out, or rolled back.
    """
    engine = _engine(database_url)
    try:
        async with aclosing(await _connect(engine)) as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
            await connection.commit()
            await connection.run_sync(_upgrade)
            await connection.commit()
    finally:
        await engine.dispose()  # closes the session and so gives the advisory lock back


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    try:
        return await engine.connect()
    except (DBAPIError, OSError) as error:
        cause = error.orig and error.orig.__cause__ if isinstance(error, DBAPIError) else error
        remedy = advice(cause or error)
        if remedy:
            raise ServiceUnavailable(remedy) from None
        raise


def _engine(database_url: str) -> AsyncEngine:
    _, _, rest = database_url.partition("://")
    return create_async_engine(f"postgresql+asyncpg://{rest}", poolclass=NullPool)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _revision(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or ""


def _upgrade(connection: Connection) -> None:
    if is_newer(_revision(connection)):
        return
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
