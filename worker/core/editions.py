"""Which wording holds when: the texts' files, and over them what was published in the running system. Pure.

Each publish of any text is an edition, counted from 1. A delivery carries the newest edition of the moment it was
planned, so it is rendered from what held then, whatever is published while it waits. A text has versions: 0 is its
file, and each publish adds one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from worker.core.template import Texts
from worker.core.text_source import Place, Source, place_of
from worker.errors import TemplateInvalid

Audience = tuple[str, str]
"""An event type and one of its audiences. Locales and channels stand in for one another only within these."""


@dataclass(frozen=True, slots=True)
class Published:
    """One version of one text. `text` None: from here on its file holds again."""

    edition: int
    place: Place
    version: int
    text: str | None


@dataclass(frozen=True, slots=True)
class Wording:
    """Texts that hold together. `problem` says why these cannot be used, with path and line; empty where they can."""

    texts: Texts
    versions: Mapping[tuple[str, str, str, str], str]
    problem: str = ""

    def version(self, event_type: str, audience: str, locale: str, channel: str) -> str:
        """Which version a rendering comes from: `en@3`, `en.slack@1`, `en@0:5e884898`; empty where there is no text.

        `locale` as `Texts.locale_for` answers it.
        """
        return self.versions.get((event_type, audience, locale, channel)) or self.versions.get(
            (event_type, audience, locale, ""), ""
        )


@dataclass(frozen=True, slots=True)
class Editions:
    """Every wording that this process can render from. `after` and `prepared` answer a new one, this never changes."""

    files: Mapping[Place, Source]
    newest: int
    _base: Wording
    _published: Mapping[Audience, tuple[Published, ...]]
    _since: Mapping[Audience, tuple[int, ...]]
    _ready: Mapping[tuple[Audience, int], Wording]

    @classmethod
    def of_files(cls, files: Iterable[Source]) -> Editions:
        """Compile the files, before anything was published. Of two for one text the later holds.

        Raises `TemplateInvalid` for a file that is no valid text.
        """
        chosen = {place_of(source): source for source in files}
        held = {place: (source, _file_version(place, source)) for place, source in chosen.items()}
        return cls(chosen, 0, Wording(Texts(chosen.values()), _versions(held)), {}, {}, {})

    def after(self, published: Sequence[Published]) -> Editions:
        """Add what was published since, in the order of its editions, and compile what holds now."""
        changed: dict[Audience, tuple[Published, ...]] = {}
        for one in published:
            audience = one.place[:2]
            known = changed.get(audience) or self._published.get(audience, ())
            changed[audience] = (*known, one)
        ready = {
            (audience, history[-1].edition): self._compile(audience, history) for audience, history in changed.items()
        }
        since = {audience: tuple(one.edition for one in history) for audience, history in changed.items()}
        return replace(
            self,
            newest=max([self.newest, *(one.edition for one in published)]),
            _published={**self._published, **changed},
            _since={**self._since, **since},
            _ready={**self._ready, **ready},
        )

    def find(self, event_type: str, audience: str, edition: int | None) -> Wording | None:
        """The wording that held at an edition; None: the newest. Answers None where it has to be `prepared` first."""
        editions = self._since.get((event_type, audience))
        if editions is None:
            return self._base
        since = _in_force(editions, edition)
        return self._ready.get(((event_type, audience), since)) if since else self._base

    def prepared(self, event_type: str, audience: str, edition: int | None) -> Editions:
        """Compile an old wording, so that `find` answers it."""
        since = _in_force(self._since.get((event_type, audience), ()), edition)
        if not since:
            return self
        history = [one for one in self._published[event_type, audience] if one.edition <= since]
        wording = self._compile((event_type, audience), history)
        return replace(self, _ready={**self._ready, ((event_type, audience), since): wording})

    def sources(self, event_type: str, audience: str) -> dict[Place, Source]:
        """The sources that hold now for this audience."""
        held = self._held((event_type, audience), self._published.get((event_type, audience), ()))
        return {place: source for place, (source, _) in held.items()}

    def version(self, place: Place) -> str:
        """Which version of a text holds now: `en@3`; empty where there is no such text."""
        held = self._held(place[:2], self._published.get(place[:2], ()))
        return held[place][1] if place in held else ""

    def _held(self, audience: Audience, history: Iterable[Published]) -> dict[Place, tuple[Source, str]]:
        """What holds after these publishes: each text's source, and its version."""
        files = {
            place: (source, _file_version(place, source))
            for place, source in self.files.items()
            if place[:2] == audience
        }
        held = dict(files)
        for one in history:
            place = one.place
            if one.text is not None:
                source = Source(f"{place.name}@{one.version}", *place, one.text)
                held[place] = (source, f"{place.wording}@{one.version}")
            elif place in files:
                held[place] = files[place]
            else:
                held.pop(place, None)
        return held

    def _compile(self, audience: Audience, history: Iterable[Published]) -> Wording:
        """What this process cannot compile, such as a text for a newer version of it, is a problem and no failure."""
        held = self._held(audience, history)
        try:
            return Wording(Texts(source for source, _ in held.values()), _versions(held))
        except TemplateInvalid as error:
            return Wording(Texts(()), _versions(held), str(error))


def _versions(held: Mapping[Place, tuple[Source, str]]) -> dict[tuple[str, str, str, str], str]:
    """The versions by their places, with the locale as its author wrote it."""
    return {place._replace(locale=source.locale): version for place, (source, version) in held.items()}


def _in_force(editions: Sequence[int], edition: int | None) -> int:
    """The edition since which that wording held; 0 where it was the files'."""
    if edition is None or not editions or edition >= editions[-1]:
        return editions[-1] if editions else 0
    at = bisect_right(editions, edition)
    return editions[at - 1] if at else 0


def _file_version(place: Place, source: Source) -> str:
    """A file changes with the program, and has no number: its content says which one it was."""
    return f"{place.wording}@0:{sha256(source.text.encode()).hexdigest()[:8]}"
