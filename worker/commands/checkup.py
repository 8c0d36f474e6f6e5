"""The checks of `kabar doctor`. None raises over what is wrong out there, and none shows a secret."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from schemas.catalogue import Catalogue
from worker.broker.inspection import Inspection, inspect
from worker.broker.topology import DEAD_DELIVER, DEAD_INTAKE, topology
from worker.channels.base import Channel
from worker.commands.screen import moment
from worker.commands.session import open_ledger
from worker.core.check import check_texts
from worker.core.text_source import place_of
from worker.deployment import build_catalogue, build_channels, build_editions, channel_rules
from worker.errors import KabarError, ServiceUnavailable, SettingsInvalid, TemplateInvalid
from worker.ledger.connection import Ledger
from worker.ledger.inquiry import accounts, backlog, server
from worker.ledger.migrate import current_revision, is_newer, newest_revision
from worker.ledger.texts import published_since
from worker.settings import Settings, load_settings
from worker.texts import BUILT_IN, load_texts

OLDEST_POSTGRES = 14
OLDEST_RABBITMQ = (3, 10)
NEWEST_RABBITMQ = 4
_PROVIDER_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. A `remedy` means that it is wrong."""

    check: str
    says: str
    remedy: str = ""

    @property
    def is_well(self) -> bool:
        """There is nothing to do about it."""
        return not self.remedy


async def examine() -> list[Finding]:
    """Check everything that can be checked with the settings there are, in the order of dependence."""
    try:
        settings = load_settings()
    except SettingsInvalid as error:
        return [Finding("settings", line, "correct it; docs/settings.md lists them all") for line in _lines(error)]
    try:
        catalogue = build_catalogue(settings)
        channels = build_channels(settings)
    except SettingsInvalid as error:
        return [Finding("settings", line, "correct it; docs/settings.md lists them all") for line in _lines(error)]
    try:
        return [
            _settings(settings, channels, catalogue),
            *await _database(settings, catalogue),
            *await _broker(settings, catalogue),
            *await asyncio.gather(*(_provider(one, channels) for one in chain.from_iterable(channels.values()))),
            *_texts(settings, catalogue),
        ]
    finally:
        for channel in chain.from_iterable(channels.values()):
            await channel.aclose()


def _lines(error: KabarError) -> list[str]:
    return str(error).splitlines()


def _settings(settings: Settings, channels: Mapping[str, Sequence[Channel[Any]]], catalogue: Catalogue) -> Finding:
    try:
        channel_rules(settings, channels, catalogue)
    except SettingsInvalid as error:
        return Finding("settings", str(error), "correct it; docs/settings.md lists them all")
    return Finding("settings", f"channels: {', '.join(settings.channels)}")


async def _database(settings: Settings, catalogue: Catalogue) -> list[Finding]:
    try:
        async with open_ledger(settings) as ledger:
            return await _examine_ledger(settings, catalogue, ledger)
    except ServiceUnavailable as error:
        says, _, remedy = str(error).partition(": ")
        return [Finding("database", says, remedy or "see the database's log")]


async def _examine_ledger(settings: Settings, catalogue: Catalogue, ledger: Ledger) -> list[Finding]:
    known = await server(ledger)
    findings = [_version(known["version_number"], known["version"]), _room(settings, known["connections"])]
    current, newest = await current_revision(settings.database_url.get_secret_value()), newest_revision()
    if current != newest and not is_newer(current):
        says = f"the schema is at {current or 'nothing'}, this version needs {newest}"
        return [*findings, Finding("schema", says, "run `kabar migrate`")]
    published = await _published(settings, catalogue, ledger)
    schema = Finding("schema", f"at {current}{', made by a newer Kabar' if is_newer(current) else ''}")
    return [*findings, schema, await _backlog(ledger), await _accounts(settings, ledger), *published]


def _version(number: int, version: str) -> Finding:
    if number // 10_000 < OLDEST_POSTGRES:
        return Finding("database", f"PostgreSQL {version}", f"use PostgreSQL {OLDEST_POSTGRES} or newer")
    return Finding("database", f"PostgreSQL {version}")


def _room(settings: Settings, connections: int) -> Finding:
    each = settings.database_connections
    says = f"{connections} connections, {each} for a worker process: room for {connections // each}"
    if connections < each:
        return Finding("connections", says, "raise max_connections, or lower KABAR_DATABASE_CONNECTIONS")
    return Finding("connections", says)


async def _backlog(ledger: Ledger) -> Finding:
    rows = await backlog(ledger)
    says = ", ".join(f"{row['total']:,} {row['state']}" for row in rows if row["total"]) or "nothing waits"
    late = {row["state"]: row["late"] for row in rows if row["late"]}
    if late:
        overdue = ", ".join(f"{number:,} {state}" for state, number in late.items())
        remedy = "start `kabar run`: due work needs a timer, and queued work couriers of its channel"
        return Finding("backlog", f"{says}; overdue for more than a minute: {overdue}", remedy)
    return Finding("backlog", says)


async def _accounts(settings: Settings, ledger: Ledger) -> Finding:
    """Which providers' accounts rest: nothing is sent by them but a try now and then."""
    rows = await accounts(ledger, settings.channels)
    resting = [
        f"{row['account']} by {row['provider']} ({row['reason']}, since {moment(row['changed_at'])})"
        for row in rows
        if row["state"] in ("open", "probing")
    ]
    if resting:
        remedy = "see whether the provider works and takes our account; nothing is lost, and it is tried by itself"
        return Finding("accounts", f"the breaker is open for {_some(resting)}", remedy)
    return Finding("accounts", f"{len(rows)}, none rests" if rows else "none was used yet")


async def _broker(settings: Settings, catalogue: Catalogue) -> list[Finding]:
    try:
        found = await inspect(settings.amqp_urls, topology(catalogue, settings.channels))
    except ServiceUnavailable as error:
        says, _, remedy = str(error).partition(": ")
        return [Finding("broker", says, remedy)]
    return [_product(found), _taking(found), *_topology(found)]


def _product(found: Inspection) -> Finding:
    says = f"{found.product} {found.version}"
    if "development" in found.product:
        return Finding("broker", f"{says}: keeps nothing on disk, not for production")
    try:
        version = tuple(int(part) for part in found.version.split(".")[:2])
    except ValueError:
        version = (0,)
    if found.product != "RabbitMQ" or version < OLDEST_RABBITMQ or version[0] > NEWEST_RABBITMQ:
        return Finding("broker", says, "use RabbitMQ 3.10 to 4.x: others are not tried")
    return Finding("broker", says)


def _taking(found: Inspection) -> Finding:
    if not found.is_taking:
        return Finding("publishing", "the broker confirms nothing", "it has a memory or disk alarm: see its log")
    return Finding("publishing", "confirmed")


def _topology(found: Inspection) -> list[Finding]:
    findings = []
    if found.missing:
        says = f"missing: {_some(found.missing)}"
        findings.append(Finding("topology", says, "start `kabar run` once: it declares all of them"))
    if found.different:
        says = f"with other arguments: {_some(found.different)}"
        remedy = "drain each, delete it (rabbitmqctl delete_queue NAME), and start `kabar run`"
        findings.append(Finding("topology", says, remedy))
    return findings or [_depths(found)]


def _depths(found: Inspection) -> Finding:
    full = [f"{queue} {depth:,}" for queue, depth in found.depths.items() if depth]
    says = f"{len(found.depths)} queues; messages wait in: {', '.join(full)}" if full else "all queues there, empty"
    if found.depths.get(DEAD_INTAKE) or found.depths.get(DEAD_DELIVER):
        return Finding("topology", says, "dead letters wait for a timer to take them in: start `kabar run timer`")
    return Finding("topology", says)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")  # noqa: PLR2004


async def _provider(channel: Channel[Any], channels: Mapping[str, Sequence[Channel[Any]]]) -> Finding:
    name = channel.name if len(channels[channel.name]) == 1 else f"{channel.name} by {channel.provider}"
    try:
        async with asyncio.timeout(_PROVIDER_SECONDS):
            problem = await channel.check()
    except TimeoutError:
        problem = f"no answer within {_PROVIDER_SECONDS:.0f} s. See whether a firewall lets us out."
    if problem:
        says, dot, remedy = problem.partition(". ")
        return Finding(name, says, remedy if dot else "see the provider's documentation")
    return Finding(name, "ready")


def _texts(settings: Settings, catalogue: Catalogue) -> list[Finding]:
    try:
        texts = load_texts(BUILT_IN, *settings.template_dirs)
    except TemplateInvalid as error:
        return [Finding("texts", f"{error.path}, line {error.line}: {error.what}", error.remedy)]
    wanted = [
        (info.text_key, route.audience)
        for info in catalogue
        for route in info.routes
        if not set(route.channels).isdisjoint(settings.channels)
    ]
    missing = [f"{event_type}/{audience}" for event_type, audience in wanted if not texts.has(event_type, audience)]
    if missing:
        remedy = "add TYPE/AUDIENCE/en.txt to a folder of KABAR_TEMPLATE_DIRS"
        return [Finding("texts", f"no text for {_some(missing)}", remedy)]
    return [Finding("texts", f"{len(wanted)} audiences have theirs")]


async def _published(settings: Settings, catalogue: Catalogue, ledger: Ledger) -> list[Finding]:
    """Whether the texts that were published hold against today's events: a new version may know other fields."""
    history = await published_since(ledger, 0)
    try:
        editions = build_editions(settings).after(history)
    except TemplateInvalid:
        return []  # the files are at fault, and `_texts` says so
    audiences = {one.place[:2] for one in history}
    sources = [source for audience in audiences for source in editions.sources(*audience).values()]
    live = {source.path: source for source in sources if "@" in source.path}
    mistakes = [one for one in check_texts(sources, catalogue, ()) if one.path in live]
    if not mistakes:
        return [Finding("published texts", f"{len(live)} in force, all good")]
    return [
        Finding(
            "published texts",
            f"{one.path}:{one.line}: {one.what}",
            f"{one.remedy}; `kabar template edit {place_of(live[one.path]).name}`, then publish it",
        )
        for one in mistakes
    ]
