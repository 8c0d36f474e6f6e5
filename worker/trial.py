"""Tries texts before anybody gets them, in a process of its own with little memory and little time.

A text can be written to eat all memory, and the engine then takes its process with it. So `try_texts` starts this
module as a program, which limits itself, compiles and renders, and says what it found; whatever becomes of it, the
one who asked goes on. The program is given texts and sample values and nothing else: no settings, no network.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
from pydantic import JsonValue

from worker.core.content import Markup
from worker.core.template import EventView, PersonView, TextKey, Texts, Unrenderable
from worker.core.text_source import Source, parse
from worker.errors import TemplateInvalid

_PATIENCE_SECONDS = 30.0
_LONGEST_OUTPUT = 100_000
_FAILED, _OUT_OF_MEMORY = 1, 3
_DETAIL = re.compile(r"(?:, line (\d+))?: (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Trial:
    """A text to render, and with what. `event_type` is a concrete one, as in an event."""

    source: Source
    event_type: str
    values: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much memory a trial may take, beyond what it has at its start, and how much of a processor's time."""

    memory_bytes: int = 256 * 1024 * 1024
    cpu_seconds: int = 3


def try_texts(
    sources: Sequence[Source], trials: Sequence[Trial], limits: Limits | None = None
) -> list[TemplateInvalid]:
    """Compile `sources`, which must hold together, and render each trial in every markup. Answers what is wrong.

    Safe for whatever the texts are. Takes as long as a Python takes to start.
    """
    task = {
        "limits": astuple(limits or Limits()),
        "sources": [astuple(source) for source in sources],
        "trials": [(sources.index(one.source), one.event_type, one.values) for one in trials],
    }
    command = [sys.executable, "-P", "-m", "worker.trial"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONUTF8": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command,
            input=orjson.dumps(task),
            capture_output=True,
            env=environment,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return [_cut_off(sources, late.stdout or b"", "it does not come to an end")]
    if done.returncode == 0:
        return [TemplateInvalid(*found) for found in _problems(done.stdout)]
    if done.returncode == _FAILED:
        raise RuntimeError(f"a trial failed: {done.stderr.decode(errors='replace')[-500:]}")
    return [_cut_off(sources, done.stdout, "it takes more memory or time than a text may")]


def _problems(said: bytes) -> Iterable[tuple[str, int, str, str]]:
    """Each once, however many trials met it."""
    return dict.fromkeys((*found,) for found in _lines(said) if isinstance(found, list))


def _cut_off(sources: Sequence[Source], said: bytes, what: str) -> TemplateInvalid:
    path = _last_tried(said)
    path = path if path is not None else sources[0].path
    return TemplateInvalid(path, 1, what, "repeat less: look at what grows within {% for %} and ~")


def _last_tried(said: bytes) -> str | None:
    tried = [line for line in _lines(said) if isinstance(line, str)]
    return tried[-1] if tried else None


def _lines(said: bytes) -> list[object]:
    return [orjson.loads(line) for line in said.splitlines() if line.endswith((b'"', b"]"))]


def main() -> None:
    """Do what standard input asks for, within the limits: print each text's path as it is tried, and what is wrong."""
    task = orjson.loads(sys.stdin.buffer.read())
    sources = [Source(*parts) for parts in task["sources"]]
    _limit(Limits(*task["limits"]))
    try:
        _try(sources, task["trials"])
    except MemoryError:
        sys.exit(_OUT_OF_MEMORY)


def _try(sources: Sequence[Source], trials: Sequence[tuple[int, str, Mapping[str, JsonValue]]]) -> None:
    if not _compiles(sources):
        return
    texts = Texts(sources)
    for number, event_type, values in trials:
        _say(sources[number].path)
        problem = _render(texts, sources[number], event_type, values)
        if problem is not None:
            _say([problem.path, problem.line, problem.what, problem.remedy])


def _limit(limits: Limits) -> None:
    if sys.platform == "win32":
        return  # it has no such limits; the texts' own, and the caller's patience, remain
    import resource  # noqa: PLC0415 - where there is one

    memory = _memory_now(resource.getpagesize()) + limits.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    cpu = int(time.process_time()) + limits.cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _memory_now(page_bytes: int) -> int:
    """Address space in use, of which a Python with threads has much; a system that does not tell gets 1 GB."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * page_bytes
    except OSError:
        return 2**30


def _compiles(sources: Sequence[Source]) -> bool:
    """Say of each source what is wrong with it, then of all together."""
    is_good = True
    for source in sources:
        _say(source.path)
        try:
            parsed = parse(source)
            for markup in Markup:
                parsed.engine_source(markup)
        except TemplateInvalid as error:
            is_good = False
            _say([error.path, error.line, error.what, error.remedy])
    if is_good:
        try:
            Texts(sources)
        except TemplateInvalid as error:
            _say([error.path, error.line, error.what, error.remedy])
            return False
    return is_good


def _render(texts: Texts, source: Source, event_type: str, values: Mapping[str, JsonValue]) -> TemplateInvalid | None:
    key = TextKey(source.event_type, source.audience, source.locale)
    person = PersonView("Ani", source.locale, "Asia/Jakarta")
    event = EventView(event_type, datetime(2026, 11, 9, 7, tzinfo=UTC))
    for markup in Markup:
        content = texts.render(key, markup, source.channel, values=values, person=person, event=event)
        if isinstance(content, Unrenderable):
            return _problem(source, content)
        if len(content.title) + len(content.body) > _LONGEST_OUTPUT:
            return TemplateInvalid(source.path, 1, f"it renders to over {_LONGEST_OUTPUT} characters", "shorten it")
    return None


def _problem(source: Source, content: Unrenderable) -> TemplateInvalid:
    found = _DETAIL.fullmatch(content.detail.removeprefix(source.path))
    line, place = (int(found[1] or 1), found[2]) if found else (1, content.detail)
    what, remedy = _explained(content)
    return TemplateInvalid(source.path, line, f"{place}: {what}" if place else what, remedy)


def _explained(content: Unrenderable) -> tuple[str, str]:
    """What went wrong, and the remedy."""
    match content.reason:
        case "text_missing":
            return "there is no such text", "write it"
        case "variable_unknown":
            remedy = "use the event's fields, and ask {% if field %} for one that may be absent"
            return "its event has no such field, or not always", remedy
        case "template_failed":
            return "it fails when it is rendered", "calculate only with numbers, and never divide by nothing"
        case "fuel_spent":
            return "it takes too many steps", "repeat less: look at what stands within {% for %}"
        case "context_too_large":
            return "it prints too much", "use fewer of the event's large fields"
        case "output_too_large":
            return "it becomes too long", "shorten it, or repeat less within {% for %}"


def _say(what: object) -> None:
    sys.stdout.buffer.write(orjson.dumps(what) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
