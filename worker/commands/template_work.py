"""Looking at texts and publishing them. Every publish is in the audit with the operator's name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import typer

from schemas.catalogue import Catalogue, EventInfo
from worker.commands.lookup import place_named
from worker.commands.screen import moment, screen, table
from worker.commands.session import open_ledger, operator
from worker.core.check import check_texts
from worker.core.editions import Editions, Published
from worker.core.example import longest_data, plausible_data
from worker.core.locales import language
from worker.core.template import DEFAULT_LOCALE
from worker.core.text_source import Place, Source, place_of
from worker.deployment import build_catalogue, build_editions
from worker.errors import NotFound, TemplateInvalid
from worker.ledger import texts
from worker.ledger.connection import Ledger, Record
from worker.settings import Settings
from worker.texts import BUILT_IN, read_sources, read_text
from worker.trial import Trial, try_texts


async def load(settings: Settings) -> Editions:
    """Load what holds in the running system: the files, and over them what was published."""
    async with open_ledger(settings) as ledger:
        return await _load(settings, ledger)


async def list_texts(settings: Settings, prefix: str) -> None:
    """Print every text whose name begins so, with what holds."""
    async with open_ledger(settings) as ledger:
        published = {Place(*row[1:5]): row for row in await texts.live(ledger)}
    places = sorted({*_files(settings), *published})
    rows = [_row(place, published.get(place)) for place in places if place.name.startswith(prefix)]
    screen().print(table(("text", "version", "author", "published", "note"), rows))


async def show(settings: Settings, name: str, version: int | None) -> None:
    """Print a text's source."""
    async with open_ledger(settings) as ledger:
        typer.echo(await _source_of(settings, ledger, place_named(name), version), nl=False)


async def history(settings: Settings, name: str) -> None:
    """Print every version of a text, newest first."""
    place = place_named(name)
    async with open_ledger(settings) as ledger:
        rows = await texts.history(ledger, place)
    if not rows:
        _file_of(settings, place)  # or there is no such text
    shown = [_row(place, row)[1:] for row in rows]
    screen().print(table(("version", "author", "published", "note"), [*shown, (0, "", "", "the file")]))


async def diff(settings: Settings, name: str, before: int | None, after: int | None) -> int:
    """Print what changed between two versions, or between what holds and a file; answers 1 where anything did."""
    file = _file_named(name)
    place = place_of(file) if file else place_named(name)
    async with open_ledger(settings) as ledger:
        if file:
            old, new = await _source_of(settings, ledger, place, before, none_is_empty=True), file.text
            labels = _label(place, before), file.path
        else:
            newest = max([0, *(row["version"] for row in await texts.history(ledger, place))])
            after = newest if after is None else after
            before = max(0, after - 1) if before is None else before
            old = await _source_of(settings, ledger, place, before, none_is_empty=True)
            new = await _source_of(settings, ledger, place, after)
            labels = _label(place, before), _label(place, after)
    changes = list(difflib.unified_diff(old.splitlines(), new.splitlines(), *labels, lineterm=""))
    for line in changes:
        typer.secho(line, fg={"+": "green", "-": "red"}.get(line[:1]))
    return 1 if changes else 0


async def what_holds(settings: Settings, name: str) -> str:
    """The source of what is said at this place now: by its own text, or by the one that serves for it."""
    place = place_named(name)
    usual = place._replace(channel="")
    serving = place, usual, usual._replace(locale=language(place.locale)), usual._replace(locale=DEFAULT_LOCALE)
    async with open_ledger(settings) as ledger:
        held = (await _load(settings, ledger)).sources(place.event_type, place.audience)
    source = next((held[one] for one in serving if one in held), None)
    return source.text if source else _file_of(settings, place)


async def check(settings: Settings, files: Sequence[Path]) -> int:
    """Say what is wrong with these texts, and publish nothing. Answers the exit code."""
    async with open_ledger(settings) as ledger:
        _, problems = _try_files(settings, await _load(settings, ledger), files)
    return _report(problems) if problems else 0


async def publish(settings: Settings, files: Sequence[Path], note: str) -> int:
    """Publish all these texts, or none where one is not good. Answers the exit code."""
    async with open_ledger(settings) as ledger:
        editions = await _load(settings, ledger)
        drafts, problems = _try_files(settings, editions, files)
        if problems:
            return _report(problems)
        changed = {place: source.text for place, source in drafts.items() if not _holds(editions, place, source.text)}
        for place in drafts.keys() - changed.keys():
            typer.echo(f"{place.name} holds already")
        if changed:
            done = await texts.publish(ledger, list(changed.items()), author=operator(), note=note)
            _tell(done, "is published")
    return 0


async def rollback(settings: Settings, name: str, to: int | None, note: str) -> int:
    """Publish an earlier version anew; by default the one before what holds, once. Answers the exit code."""
    place = place_named(name)
    async with open_ledger(settings) as ledger:
        versions = await texts.history(ledger, place)
        if not versions:
            raise NotFound(f"{place.name} was never published: there is nothing to go back to")
        back = _before(versions, place) if to is None else to
        text = None if back == 0 else _text(versions, place, back)
        problems = _try_rollback(settings, await _load(settings, ledger), place, text)
        if problems:
            return _report(problems)
        note = note or (f"back to version {back}" if back else "back to the file")
        done = await texts.publish(ledger, [(place, text)], author=operator(), note=note, action="rollback")
        _tell(done, f"is what version {back} was" if text is not None else "is its file again")
    return 0


def type_of(catalogue: Catalogue, text_key: str) -> EventInfo | None:
    """The event type that texts are filed under this name for."""
    return next((info for info in catalogue if info.text_key == text_key), None)


def try_sources(
    settings: Settings, editions: Editions, changed: Mapping[Place, Source | None]
) -> list[TemplateInvalid]:
    """Compile and render what would hold after a change, apart from this process. Answers what is wrong."""
    catalogue = build_catalogue(settings)
    problems = [found for place, one in changed.items() if one and (found := _misplaced(catalogue, place, one))]
    if problems:
        return problems
    held = _held_after(editions, changed)
    tried = [held[place] for place in changed if place in held]
    return try_texts(list(held.values()), [trial for one in tried for trial in _trials(catalogue, one)])


def _held_after(editions: Editions, changed: Mapping[Place, Source | None]) -> dict[Place, Source]:
    held: dict[Place, Source] = {}
    for event_type, audience in {place[:2] for place in changed}:
        held |= editions.sources(event_type, audience)
    for place, source in changed.items():
        held.pop(place, None)
        if source is not None:
            held[place] = source
    return held


def _file_named(name: str) -> Source | None:
    return read_text(Path(name)) if Path(name).is_file() else None


async def _load(settings: Settings, ledger: Ledger) -> Editions:
    return build_editions(settings).after(await texts.published_since(ledger, 0))


def _try_files(
    settings: Settings, editions: Editions, files: Sequence[Path]
) -> tuple[dict[Place, Source], list[TemplateInvalid]]:
    drafts: dict[Place, Source] = {}
    problems: list[TemplateInvalid] = []
    for file in files:
        try:
            source = read_text(file)
        except TemplateInvalid as error:
            problems.append(error)
        else:
            drafts[place_of(source)] = source
    return drafts, problems or try_sources(settings, editions, drafts) or _mistakes(settings, editions, drafts)


def _mistakes(settings: Settings, editions: Editions, drafts: Mapping[Place, Source]) -> list[TemplateInvalid]:
    """What `kabar check` says of drafts that were tried: it renders them too, so it must not be the first."""
    paths = {source.path for source in drafts.values()}
    found = check_texts(_held_after(editions, drafts).values(), build_catalogue(settings), ())
    return [TemplateInvalid(one.path, one.line, one.what, one.remedy) for one in found if one.path in paths]


def _try_rollback(settings: Settings, editions: Editions, place: Place, text: str | None) -> list[TemplateInvalid]:
    source = editions.files.get(place) if text is None else Source(place.name, *place, text)
    return try_sources(settings, editions, {place: source})


def _misplaced(catalogue: Catalogue, place: Place, source: Source) -> TemplateInvalid | None:
    """Why no delivery would ever be rendered from this text; None where one would."""
    info = type_of(catalogue, place.event_type)
    if info is None:
        what = f"there is no event type {place.event_type}"
        return TemplateInvalid(source.path, 1, what, "put it into a folder named after one")
    route = next((route for route in info.routes if route.audience == place.audience), None)
    if route is None:
        audiences = " or ".join(route.audience for route in info.routes) or "nobody"
        return TemplateInvalid(
            source.path, 1, f"{info.type} does not go to {place.audience}", f"it goes to {audiences}"
        )
    if place.channel and place.channel not in route.channels:
        channels = ", ".join(route.channels)
        return TemplateInvalid(source.path, 1, f"it does not go by {place.channel}", f"its channels are {channels}")
    return None


def _trials(catalogue: Catalogue, source: Source) -> Iterable[Trial]:
    """With all fields, with the longest plausible ones, and with nothing but what must be given."""
    info = type_of(catalogue, source.event_type)
    if info is None:
        return
    full = plausible_data(info)
    fields = info.model.model_fields
    event_type = info.type.replace("*", "sample")
    yield Trial(source, event_type, full)
    yield Trial(source, event_type, dict.fromkeys(fields) | longest_data(info))
    yield Trial(source, event_type, {name: full.get(name) if fields[name].is_required() else None for name in fields})


def _holds(editions: Editions, place: Place, text: str) -> bool:
    held = editions.sources(place.event_type, place.audience).get(place)
    return held is not None and held.text == text


async def _source_of(
    settings: Settings, ledger: Ledger, place: Place, version: int | None, *, none_is_empty: bool = False
) -> str:
    """The source of a version; None: of what holds."""
    versions = await texts.history(ledger, place)
    if version is None and versions:
        version = versions[0]["version"]
    text = _text(versions, place, version) if version else None
    if text is not None:
        return text
    return "" if none_is_empty and place not in _files(settings) else _file_of(settings, place)


def _files(settings: Settings) -> dict[Place, Source]:
    """The files as they stand: here a broken one is no obstacle."""
    folders = (BUILT_IN, *settings.template_dirs)
    return {place_of(source): source for folder in folders for source in read_sources(folder)}


def _file_of(settings: Settings, place: Place) -> str:
    found = _files(settings).get(place)
    if found is None:
        raise NotFound(f"there is no text {place.name}: see `kabar template list {place.event_type}`")
    return found.text


def _before(versions: Sequence[Record], place: Place) -> int:
    """The version before what holds. Raises NotFound where that went back already: twice would be forward again."""
    live, *earlier = versions
    restored = next((row["version"] for row in earlier if row["source"] == live["source"]), None)
    if live["source"] is None or restored is not None:
        what = "its file" if restored is None else f"what version {restored} was"
        said = f"version {live['version']} of {place.name} is {what} again"
        raise NotFound(f"{said}: to go on, say to which with --to (`kabar template history {place.name}`)")
    return int(live["version"]) - 1


def _text(versions: Sequence[Record], place: Place, version: int) -> str | None:
    found = next((row for row in versions if row["version"] == version), None)
    if found is None:
        raise NotFound(f"{place.name} has no version {version}: see `kabar template history {place.name}`")
    text: str | None = found["source"]
    return text


def _row(place: Place, live: Record | None) -> Sequence[object]:
    if live is None:
        return place.name, 0, "", "", ""
    note = live["note"] if live["source"] is not None else f"{live['note']} (the file)"
    return place.name, live["version"], live["author"], moment(live["published_at"]), note


def _label(place: Place, version: int | None) -> str:
    return place.name if version is None else f"{place.name}@{version}"


def _tell(published: Sequence[Published], what: str) -> None:
    for one in published:
        typer.echo(f"{one.place.name}: version {one.version} {what}")


def _report(problems: Sequence[TemplateInvalid]) -> int:
    for one in problems:
        typer.secho(f"{one.path}:{one.line}: {one.what}. Remedy: {one.remedy}.", fg="red", err=True)
    typer.secho("nothing was published", fg="red", err=True)
    return 1
