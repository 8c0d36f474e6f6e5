"""Writes the files that are made from the code: tables of settings and metrics, the broker's definitions, schemas,
the reference of events. A sample of each event type is made once, and never again: it stands for what producers send.

What a file says is decided where the fact lives (settings, metrics, topology, catalogue); only its form is decided
here. Works only in a checkout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Le
from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from rich.console import Console

from schemas.catalogue import Catalogue, EventInfo
from worker import metrics
from worker.broker.topology import Binding, Exchange, Queue, topology
from worker.core.example import cloud_event
from worker.deployment import BUILT_IN_EVENTS
from worker.dev.asyncapi import asyncapi
from worker.dev.checks import NotACheckout
from worker.dev.event_reference import event_reference
from worker.settings import TOOLING, ChannelName, Settings, variable

ROOT: Final = Path(__file__).parents[2]
_SCHEMAS: Final = "schemas/generated"
_SAMPLES: Final = "schemas/samples"
_VHOST: Final = "/"
_GROUPS: Final = {
    "Services": ("amqp_url", "database_url", "database_connections"),
    "Deliveries": ("channels", "attempt_limit", "retention_days", "on_unsure"),
    "E-mail": ("smtp_", "email_", "brand_", "settings_url"),
    "Telegram": ("telegram_",),
    "Slack": ("slack_",),
    "A product's own events and texts": ("event_modules", "template_dirs"),
    "The process": ("http_", "log_", "traces_"),
}
"""Headings of the table, and how the names of the fields under each begin."""
_TOOLING: Final = {
    "KABAR_CACHE": "where Debian's packages are unpacked for tests; `~/.cache/kabar` unless set",
    "KABAR_HOME": "where `kabar up` keeps its data and log; usually `~/.local/share/kabar/up`",
    "KABAR_PG_BIN": "the folder with PostgreSQL's own `initdb` and `postgres`, instead of those found or installed",
    "KABAR_REQUIRE_PROMTOOL": "`1`: tests of the alerts fail where there is no promtool, instead of being skipped",
    "KABAR_REQUIRE_RABBITMQ": "`1`: tests that need RabbitMQ fail where there is none, instead of being skipped",
}
_SETTINGS_PAGE: Final = """\
# Settings

Every setting is an environment variable, and the same for all processes of a deployment. A process with a wrong,
missing or unknown `KABAR_…` variable does not start, and says which. Lists are separated by commas.

| variable | what it is | accepts | default |
| --- | --- | --- | --- |
{settings}

Secrets never have a default, and are neither logged nor printed.

## Variables of the development commands

`kabar up`, `test` and `bench` also look at these. A worker takes no notice of them.

| variable | what it is |
| --- | --- |
{tooling}
"""
_METRICS_PAGE: Final = """\
# Metrics

Every process answers `GET /metrics` on its HTTP port (`KABAR_HTTP_PORT`) in the format of Prometheus. Labels are
stages, channels, lanes, queues, states and reasons, never a person or an address. A histogram's series end in
`_bucket`, `_sum` and `_count`. On Linux the usual `process_…` metrics (start, memory, processor time) are there too.

| name | type | labels | meaning |
| --- | --- | --- | --- |
{metrics}
"""


def run_generate(*, check: bool) -> int:
    """Write every generated file, or with `check` only look, and tell of each that was not fresh.

    Gives an exit code: 1 only if `check` found one. Safe to repeat.
    """
    if not (ROOT / "pyproject.toml").exists():
        raise NotACheckout("`kabar generate` writes into the source. Clone Kabar and run `./kabar generate` there.")
    wanted = missing_samples() | documents()
    stale = [name for name, content in wanted.items() if _content(name) != content]
    left_over = [name for name in _present() if name not in wanted]
    if not check:
        for name in stale:
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(wanted[name], "utf-8")
        for name in left_over:
            (ROOT / name).unlink()
    _tell(stale, left_over, check=check)
    return int(check and bool(stale or left_over))


def documents() -> dict[str, str]:
    """Make every generated file: its path from the root of the checkout, and its content."""
    catalogue = Catalogue.of_modules(BUILT_IN_EVENTS)
    samples = {info.type: _sample(info) for info in catalogue}
    return {
        "docs/events.md": event_reference(catalogue, samples),
        "docs/settings.md": _SETTINGS_PAGE.format(settings=_rows(_settings()), tooling=_rows(_tooling())),
        "docs/metrics.md": _METRICS_PAGE.format(metrics=_rows(_metrics())),
        "deploy/rabbitmq/definitions.json": _json(definitions(catalogue)),
        f"{_SCHEMAS}/asyncapi.json": _json(asyncapi(catalogue, samples)),
        **{
            f"{_SCHEMAS}/{info.text_key}.json": _json({**info.model.model_json_schema(), "title": info.type})
            for info in catalogue
        },
    }


def sample_name(info: EventInfo) -> str:
    """Answer where the golden sample of a type's newest version is, from the root of the checkout."""
    return f"{_SAMPLES}/{info.text_key}.v{info.version}.json"


def missing_samples() -> dict[str, str]:
    """Make a sample for each type and version that has none. Raises ValueError where the model would not take it."""
    missing = [info for info in Catalogue.of_modules(BUILT_IN_EVENTS) if _content(sample_name(info)) is None]
    for info in missing:
        try:
            info.model.model_validate(cloud_event(info)["data"])
        except ValidationError as error:
            raise ValueError(f"write {sample_name(info)} by hand, for none can be made: {error}") from None
    return {sample_name(info): _json(cloud_event(info)) for info in missing}


def _sample(info: EventInfo) -> dict[str, Any]:
    content = _content(sample_name(info))
    sample: dict[str, Any] = cloud_event(info) if content is None else json.loads(content)
    return sample


def _content(name: str) -> str | None:
    return (ROOT / name).read_text("utf-8") if (ROOT / name).exists() else None


def _present() -> list[str]:
    """The schemas that are there: one of a type that is gone must go too."""
    return [str(path.relative_to(ROOT)) for path in sorted((ROOT / _SCHEMAS).glob("*.json"))]


def _tell(stale: list[str], left_over: list[str], *, check: bool) -> None:
    console = Console(highlight=False)
    for name in stale:
        console.print(f"[red]✗[/] {name} is not fresh" if check else f"[green]✓[/] {name} written")
    for name in left_over:
        console.print(f"[red]✗[/] {name} belongs to no event type" if check else f"[green]✓[/] {name} deleted")
    if check and (stale or left_over):
        console.print("Run `./kabar generate` and commit what it wrote.")
    elif not stale and not left_over:
        console.print("[green]✓[/] every generated file is fresh")


def _settings() -> Iterator[tuple[str, ...]]:
    grouped: set[str] = set()
    for heading, beginnings in _GROUPS.items():
        yield f"**{heading}**", "", "", ""
        for name, field in Settings.model_fields.items():
            if name.startswith(beginnings) and name not in grouped:
                grouped.add(name)
                yield f"`{variable(name)}`", str(field.description), _accepts(field), _default(field)
    homeless = Settings.model_fields.keys() - grouped
    if homeless:
        raise ValueError(f"{min(homeless)} is under no heading of the table of settings; add it to _GROUPS")


def _accepts(field: FieldInfo) -> str:
    lowest = [bound.ge for bound in field.metadata if isinstance(bound, Ge)]
    highest = [bound.le for bound in field.metadata if isinstance(bound, Le)]
    if lowest and highest:
        return f"{lowest[0]} to {highest[0]}"
    if get_origin(field.annotation) is Literal:
        return ", ".join(get_args(field.annotation))
    return "secret" if _is_secret(field) else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if _is_secret(field) or field.default in (None, "", (), {}):
        return "none"
    shown = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{shown}`"


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def _tooling() -> Iterator[tuple[str, ...]]:
    if _TOOLING.keys() != TOOLING:
        raise ValueError(f"{min(_TOOLING.keys() ^ TOOLING)} is in one of TOOLING and _TOOLING only")
    return ((f"`{name}`", meaning) for name, meaning in sorted(_TOOLING.items()))


def _metrics() -> Iterator[tuple[str, ...]]:
    for each in vars(metrics).values():
        if isinstance(each, MetricWrapperBase):
            (described,) = each.describe()
            name = described.name + ("_total" if described.type == "counter" else "")
            yield f"`{name}`", described.type, ", ".join(labels_of(each)), described.documentation


def labels_of(metric: MetricWrapperBase) -> tuple[str, ...]:
    """Answer the names of a metric's labels, in order."""
    return tuple(metric._labelnames)  # noqa: SLF001 - the client shows them nowhere else before a value is set


def _rows(rows: Iterator[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _cell(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "&#124;")


def definitions(catalogue: Catalogue) -> dict[str, Any]:
    """Write the whole topology, with every channel, as RabbitMQ's definitions; it brings no users."""
    wanted = topology(catalogue, get_args(ChannelName))
    return {
        "vhosts": [{"name": _VHOST}],
        "exchanges": [_exchange(exchange) for exchange in wanted.exchanges],
        "queues": [_queue(queue) for queue in wanted.queues],
        "bindings": [_binding(binding) for binding in wanted.bindings],
    }


def _exchange(exchange: Exchange) -> dict[str, Any]:
    return {
        "name": exchange.name,
        "vhost": _VHOST,
        "type": exchange.kind,
        "durable": True,
        "auto_delete": False,
        "internal": exchange.internal,
        "arguments": exchange.arguments,
    }


def _queue(queue: Queue) -> dict[str, Any]:
    return {
        "name": queue.name,
        "vhost": _VHOST,
        "durable": True,
        "auto_delete": False,
        "arguments": queue.arguments,
    }


def _binding(binding: Binding) -> dict[str, Any]:
    return {
        "source": binding.source,
        "vhost": _VHOST,
        "destination": binding.destination,
        "destination_type": "exchange" if binding.to_exchange else "queue",
        "routing_key": binding.routing_key,
        "arguments": {},
    }


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
