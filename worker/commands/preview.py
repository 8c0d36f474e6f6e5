"""Shows what each medium would show of an event: rendered and fitted as for a delivery, and written to files instead.

The text is what holds in the running system, or a file that is not published yet, which is tried first.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from html import unescape
from pathlib import Path
from re import sub
from typing import Any, get_args
from uuid import UUID, uuid4

import orjson
import typer
from pydantic import JsonValue, SecretStr, ValidationError

from schemas.catalogue import EventInfo, Lane, Route
from worker.channels.base import Channel
from worker.channels.email import Mail
from worker.channels.inbox import InboxMessage
from worker.channels.short_media import Push, Sms
from worker.channels.slack import SlackMessage
from worker.channels.telegram import TelegramMessage, payload
from worker.commands.preview_short import SHORT_MEDIA, short_text
from worker.commands.template_work import load, try_sources
from worker.core.editions import Editions, Published
from worker.core.example import plausible_data
from worker.core.outcome import Deferred, Refused, Sent, UnsurePolicy
from worker.core.text_source import place_of
from worker.deployment import build_catalogue, build_channels, build_editions
from worker.errors import NotFound, ServiceUnavailable, SettingsInvalid
from worker.ledger.deliveries import Leased
from worker.pipeline.render import render
from worker.pipeline.send import send
from worker.settings import ChannelName, Settings, load_settings
from worker.texts import read_text

_SAMPLES = Path(__file__).parents[2] / "schemas" / "samples"
_DELIVERY = UUID("00000000-0000-5000-8000-000000000000")
_NOW = datetime(2026, 11, 12, 7, 5, tzinfo=UTC)
_ADDRESSES = {"email": "ani@example.com", "telegram": "1042", "slack": "C0123456789", "sms": "+6281234567890"}
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PICTURE_SECONDS = 60
_NOWHERE: dict[str, object] = {"database_url": "postgresql://nowhere/kabar", "amqp_url": "amqp://nowhere/"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What to preview. Empty `audience` and `channel`: all of them. `send_to`: an address that gets it, too."""

    event_type: str
    audience: str
    channel: str
    locale: str
    data: Path | None
    texts: Sequence[Path]
    folder: Path
    files_only: bool = False
    send_to: str = ""


async def preview(wish: Wish) -> list[Path]:
    """Write and print what is shown; answers the HTML pages that were written."""
    settings = load_settings(None, **(_NOWHERE if wish.files_only else {}))
    editions = build_editions(settings) if wish.files_only else await load(settings)
    editions = _with_drafts(settings, editions, wish.texts)
    catalogue = build_catalogue(settings)
    info = catalogue.find(wish.event_type)
    if info is None:
        raise NotFound(f"there is no event type {wish.event_type}: see `kabar template list`")
    data = _data(wish.data, info)
    pages: list[Path] = []
    for route, name in _wanted(settings, info, wish):
        channel = build_channels(settings)[name][0] if wish.send_to else _channel(settings, name)
        try:
            rendered = render(_leased(wish, route, name, data), catalogue, editions, channel)
            title = f"{route.audience} · {name} · {wish.locale} · {rendered.version}"
            stem = wish.folder / wish.event_type / route.audience / f"{wish.locale}.{name}"
            pages += _write(title, rendered.message, stem)
            if wish.send_to:
                await _send(channel, rendered.message)
        finally:
            await channel.aclose()
    return pages


def _with_drafts(settings: Settings, editions: Editions, files: Sequence[Path]) -> Editions:
    """Put texts over those that hold. Raises what is wrong with one."""
    drafts = {place_of(source): source for source in map(read_text, files)}
    for problem in try_sources(settings, editions, drafts) if drafts else ():
        raise problem
    first = editions.newest + 1
    return editions.after(
        [Published(first + at, place, 0, source.text) for at, (place, source) in enumerate(drafts.items())]
    )


def _wanted(settings: Settings, info: EventInfo, wish: Wish) -> Iterator[tuple[Route, str]]:
    found = [
        (route, name)
        for route in info.routes
        for name in route.channels
        if wish.audience in {"", route.audience} and wish.channel in {"", name}
    ]
    if not found:
        routes = "; ".join(f"{route.audience}: {', '.join(route.channels)}" for route in info.routes) or "to nobody"
        raise NotFound(f"{info.type} does not go there. It goes {routes}")
    if wish.send_to and (wish.channel not in settings.channels or wish.channel == "inbox"):
        raise SettingsInvalid("--send-to needs --channel with one of KABAR_CHANNELS that has addresses")
    made = [(route, name) for route, name in found if name in {*get_args(ChannelName), *SHORT_MEDIA}]
    if not made:
        raise NotFound(f"this version knows no {', '.join(dict.fromkeys(name for _, name in found))}")
    yield from made


def _channel(settings: Settings, name: str) -> Channel[Any]:
    """The channel as this deployment has it, or as any could: nothing is sent, so it need not be able to."""
    if name in SHORT_MEDIA:
        return SHORT_MEDIA[name]
    stand_ins = {
        "smtp_url": settings.smtp_url or SecretStr("smtp://127.0.0.1:1"),
        "email_from": settings.email_from or "Kabar <kabar@example.com>",
        "telegram_token": settings.telegram_token or SecretStr("1:preview"),
        "slack_token": settings.slack_token or SecretStr("xoxb-preview"),
    }
    return build_channels(settings.model_copy(update={"channels": (name,), **stand_ins}))[name][0]


def _data(file: Path | None, info: EventInfo) -> Mapping[str, JsonValue]:
    """The payload of a file, of the type's golden sample, or a plausible one."""
    file = file or _SAMPLES / f"{info.type}.v{info.version}.json"
    if file.parent == _SAMPLES and not file.is_file():
        return plausible_data(info)
    try:
        read = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise NotFound(f"{file} holds no JSON that can be read: {error}") from None
    data = read["data"] if isinstance(read, dict) and "specversion" in read else read
    try:
        info.model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise SettingsInvalid(f"{file} is no {info.type}: {where}: {first['msg']}") from None
    return dict(data)


def _leased(wish: Wish, route: Route, channel: str, data: Mapping[str, JsonValue]) -> Leased:
    delivery = uuid4() if wish.send_to else _DELIVERY  # a mail program shows one Message-ID once
    address = wish.send_to or _ADDRESSES.get(channel, "ani")
    return Leased(
        delivery, 0, _DELIVERY, "ani", channel, address, Lane.NORMAL, 1, 1, UnsurePolicy.HOLD,
        _NOW, route.audience, "preview", "kabar", wish.event_type, _NOW, orjson.dumps(data).decode(), None, "Ani",
        wish.locale, "Asia/Jakarta",
    )  # fmt: skip


async def _send(channel: Channel[Any], message: object) -> None:
    """Hand it to the provider as a courier would, but for the ledger: nobody is told of it, and nothing is repeated."""
    outcome = await send(channel, message)
    if not isinstance(outcome, Sent):
        detail = getattr(outcome, "detail", "")
        raise ServiceUnavailable(f"{channel.name} did not take it: {outcome.reason}{f' ({detail})' if detail else ''}")
    typer.secho(f"sent by {channel.name}\n", fg="green")


def _write(title: str, message: object, stem: Path) -> list[Path]:
    """Write one medium's files beside one another, and print its text."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    typer.secho(f"── {title}", bold=True)
    match message:
        case Refused() | Deferred():
            raise NotFound(f"{message.reason}: {message.detail}")
        case Mail():
            return _write_mail(message, stem)
        case TelegramMessage():
            wire = payload(message, message.chat)
            button = f"\n[{message.label}] {message.url}" if message.url else ""
            text = unescape(sub(r"<[^>]+>", "", message.text)) + button
        case SlackMessage():
            wire = message.payload
            text = _slack_text(orjson.loads(wire))
        case InboxMessage():
            wire = orjson.dumps(asdict(message))
            text = "\n\n".join(filter(None, (message.title, message.body, f"{message.action} {message.link}".strip())))
        case Sms() | Push():
            wire = orjson.dumps(asdict(message))
            text = short_text(message)
        case _:
            wire = orjson.dumps(asdict(message) if is_dataclass(message) else str(message), default=str)  # type: ignore[arg-type]  # an instance
            text = wire.decode()
    _save(stem, ".json", orjson.dumps(orjson.loads(wire), option=orjson.OPT_INDENT_2))
    _save(stem, ".txt", text.encode())
    typer.echo(f"{text}\n")
    return []


def _write_mail(mail: Mail, stem: Path) -> list[Path]:
    _save(stem, ".eml", mail.data)
    read = message_from_bytes(mail.data, policy=policy.default)
    plain, html = read.get_body(("plain",)), read.get_body(("html",))
    text = f"Subject: {read['subject']}\n\n{plain.get_content() if plain else ''}"
    _save(stem, ".txt", text.encode())
    page = _save(stem, ".html", (html.get_content() if html else "").encode())
    typer.echo(text)
    _take_picture(page)
    return [page]


def _take_picture(page: Path) -> None:
    """Let Chromium draw the page, where it is there; what it prints is of no use to anybody."""
    browser = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if browser is None:
        return
    picture = page.with_suffix(".png").absolute()
    with tempfile.TemporaryDirectory(prefix="kabar-preview-") as profile:
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}",
            "--window-size=680,900", f"--screenshot={picture}", page.absolute().as_uri(),
        ]  # fmt: skip
        try:
            subprocess.run(command, capture_output=True, timeout=_PICTURE_SECONDS, check=True)  # noqa: S603 - a browser found on the path
        except (subprocess.SubprocessError, OSError):
            typer.secho(f"{browser} could not draw {page}", fg="yellow", err=True)
        else:
            typer.echo(f"wrote {picture}")


def _slack_text(wire: Mapping[str, Any]) -> str:
    """The words of blocks, with links as `label (address)`."""
    parts = [*_slack_parts(wire.get("blocks", ()))] or [str(wire.get("text", ""))]
    return unescape(sub(r"<([^|>]+)\|([^>]+)>", r"\2 (\1)", "\n".join(parts)))


def _slack_parts(blocks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for block in blocks:
        said = block.get("text")
        url = f" {block['url']}" if "url" in block else ""
        if isinstance(said, Mapping):
            yield f"[{said['text']}]{url}" if url else str(said["text"])
        elif isinstance(said, str):
            yield said
        yield from _slack_parts(block.get("elements", ()))


def _save(stem: Path, ending: str, content: bytes) -> Path:
    path = stem.with_name(stem.name + ending)
    path.write_bytes(content)
    typer.echo(f"wrote {path}")
    return path
