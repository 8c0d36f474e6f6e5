"""Takes the pictures of mails in `docs/emails`: `python -m worker.dev.screenshots [FOLDER]`. Needs Chromium.

Each mail is built as it would be sent and read back from its bytes, so that a picture shows what arrives. Chromium is
steered by its DevTools protocol, because only that sets the width of a phone and the colour scheme of a system.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
import shutil
import sys
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from aiohttp import ClientSession, ClientWebSocketResponse, web

from schemas.catalogue import Catalogue
from worker.channels.base import Target, Trimmings
from worker.channels.email import EmailChannel, Mail
from worker.channels.layout import Brand
from worker.core.content import Content, Markup
from worker.core.template import EventView, PersonView, TextKey, Texts
from worker.deployment import BUILT_IN_EVENTS
from worker.texts import BUILT_IN, read_sources

_FOLDER: Final = Path(__file__).parents[2] / "docs" / "emails"
_AT: Final = datetime(2026, 11, 21, 7, 5, tzinfo=UTC)
_PATIENCE_SECONDS: Final = 30.0
_FLAGS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Sample:
    """One mail to look at."""

    type: str
    audience: str
    locale: str
    name: str
    data: dict[str, object]
    views: tuple[str, ...]
    image: str = ""


@dataclass(frozen=True, slots=True)
class _View:
    """How it is looked at: the width and scale of the screen, and the scheme its owner likes."""

    width: int
    scale: float
    scheme: str


_VIEWS: Final = {
    "desktop-light": _View(720, 1, "light"),
    "desktop-dark": _View(720, 1, "dark"),
    "phone-light": _View(390, 1.5, "light"),
    "phone-dark": _View(390, 1.5, "dark"),
}
_SAMPLES: Final = (
    _Sample(
        "payment.failed",
        "user",
        "en",
        "Ada Lovelace",
        {
            "user_id": "ada",
            "payment_id": "pay-20418",
            "amount": "12.50",
            "currency": "USD",
            "reason": "the card has expired",
            "retry_url": "https://rumah.example/pay/20418",
        },
        ("desktop-light", "phone-dark"),
    ),
    _Sample(
        "subscription.expiring",
        "user",
        "id",
        "Ayu Lestari",
        {
            "user_id": "ayu",
            "subscription_id": "sub-7",
            "plan": "Kreator Pro",
            "expires_at": "2026-11-24T09:00:00Z",
            "renew_url": "https://rumah.example/renew/7",
        },
        ("desktop-dark", "phone-light"),
    ),
    _Sample(
        "order.shipped",
        "user",
        "en",
        "Budi",
        {"user_id": "budi", "order_code": "RX-1207", "courier": "JNE Express", "tracking_number": "JNE0098127731"},
        ("desktop-light", "phone-light"),
    ),
    _Sample(
        "system.error",
        "admins",
        "en",
        "Citra",
        {
            "service": "checkout",
            "error": "payments.internal.example refused the connection (3 tries, <no body>)",
            "severity": "critical",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        },
        ("desktop-dark", "phone-dark"),
    ),
    _Sample(
        "achievement.earned",
        "user",
        "id",
        "Dewi",
        {"user_id": "dewi", "badge": "Seratus Tayangan"},
        ("desktop-light", "phone-dark"),
        image="badge.svg",
    ),
)
_PICTURES: Final = {
    "logo.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="132" height="32" viewBox="0 0 132 32">'
    '<path d="M2 15 16 3l14 12v13a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2z" fill="#0f8a6d"/>'
    '<path d="m12 14 9 5.5-9 5.5z" fill="#fff"/><text x="40" y="24" font-family="Liberation Sans,sans-serif"'
    ' font-size="23" font-weight="700" fill="#0f8a6d">Rumah</text></svg>',
    "badge.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="976" height="420" viewBox="0 0 976 420">'
    '<rect width="976" height="420" fill="#0f8a6d"/><circle cx="488" cy="210" r="130" fill="#f7c948"/>'
    '<circle cx="488" cy="210" r="104" fill="none" stroke="#0f8a6d" stroke-width="6"/><text x="488" y="238"'
    ' font-family="Liberation Sans,sans-serif" font-size="80" font-weight="700" text-anchor="middle"'
    ' fill="#0b5f4b">100</text></svg>',
}


async def take() -> dict[str, bytes]:
    """Take all pictures: PNGs by the names of their files."""
    pages: dict[str, str] = {}
    pictures = {}
    async with _served(pages) as address, _browser() as browser:
        for sample in _SAMPLES:
            pages[sample.type] = _html(sample, address)
            for name in sample.views:
                picture = await browser.picture(f"{address}/{sample.type}", _VIEWS[name])
                pictures[f"{sample.type}-{name}.png"] = picture
    return pictures


def _html(sample: _Sample, address: str) -> str:
    brand = Brand("Rumah", "#0f8a6d", f"{address}/logo.svg", "https://rumah.example/notifications?for={person}")
    channel = EmailChannel("smtp://127.0.0.1", "Rumah <no-reply@rumah.example>", brand=brand)
    info = Catalogue.of_modules(BUILT_IN_EVENTS).find(sample.type)
    if info is None:
        raise LookupError(f"{sample.type} is not in the catalogue; take another sample")
    target = Target(
        UUID(int=1), "someone@example.org", sample.name, sample.type, _AT, "p-1", sample.locale, info.category,
        info.critical, sample.audience, Trimmings(image=f"{address}/{sample.image}" if sample.image else ""),
    )  # fmt: skip
    values = info.model.model_validate(sample.data).model_dump(mode="json")
    contents = _contents(sample, values)
    mail = channel.fit(contents, target)
    if not isinstance(mail, Mail):
        raise TypeError(f"{sample.type} is no mail: {mail}")
    message = email.message_from_bytes(mail.data, policy=email.policy.SMTP)
    html = message.get_body(["html"])
    return str(html.get_content()) if html else ""


def _contents(sample: _Sample, values: dict[str, Any]) -> tuple[Content, ...]:
    texts = Texts(source for source in read_sources(BUILT_IN) if source.event_type == sample.type)
    person, event = PersonView(sample.name, sample.locale, "Asia/Jakarta"), EventView(sample.type, _AT)
    key = TextKey(sample.type, sample.audience, sample.locale)
    contents = []
    for markup in (Markup.PLAIN, Markup.HTML):
        content = texts.render(key, markup, "email", values=values, person=person, event=event)
        if not isinstance(content, Content):
            raise TypeError(f"{sample.type} cannot be rendered: {content.detail}")
        contents.append(content)
    return tuple(contents)


@asynccontextmanager
async def _served(pages: dict[str, str]) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in _PICTURES:
            return web.Response(text=_PICTURES[name], content_type="image/svg+xml")
        return web.Response(text=pages.get(name, ""), content_type="text/html")

    app = web.Application()
    app.router.add_get("/{name}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class _Browser:
    """One tab of Chromium."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._last = 0

    async def picture(self, url: str, view: _View) -> bytes:
        """Load a page and give all of it as PNG."""
        screen = {"width": view.width, "height": 200, "deviceScaleFactor": view.scale, "mobile": view.width < 600}  # noqa: PLR2004
        await self._call("Page.enable")
        await self._call("Emulation.setDeviceMetricsOverride", screen)
        features = [{"name": "prefers-color-scheme", "value": view.scheme}]
        await self._call("Emulation.setEmulatedMedia", {"features": features})
        await self._call("Page.navigate", {"url": url}, until="Page.loadEventFired")
        size = (await self._call("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": view.width, "height": int(size["height"]), "scale": 1}
        shot = await self._call("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
        return b64decode(shot["data"])

    async def _call(self, method: str, params: dict[str, Any] | None = None, until: str = "") -> dict[str, Any]:
        """Call a method, and wait for its answer and, with `until`, for that event too."""
        self._last += 1
        await self._socket.send_json({"id": self._last, "method": method, "params": params or {}})
        answer: dict[str, Any] | None = None
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while answer is None or until:
                said = await self._socket.receive_json()
                if said.get("method") == until:
                    until = ""
                if said.get("id") == self._last:
                    if "error" in said:
                        raise RuntimeError(f"{method}: {said['error']}")
                    answer = said["result"]
        return answer


@asynccontextmanager
async def _browser() -> AsyncIterator[_Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise FileNotFoundError("there is no Chromium; install the package chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program, *_FLAGS, f"--user-data-dir={profile}", "about:blank", stderr=asyncio.subprocess.PIPE
        )
        try:
            port = await _port(process)
            async with ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    tab = next(tab for tab in await answer.json() if tab["type"] == "page")
                async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    yield _Browser(socket)
        finally:
            process.terminate()
            await process.wait()


async def _port(process: asyncio.subprocess.Process) -> str:
    """Chromium says where it listens: `DevTools listening on ws://127.0.0.1:PORT/…`."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while line := await process.stderr.readline() if process.stderr else b"":
            if found := re.search(rb"listening on ws://127\.0\.0\.1:(\d+)/", line):
                return found[1].decode()
    raise RuntimeError("Chromium ended before it listened; start it by hand to see why")


def _write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in asyncio.run(take()).items():
        (folder / name).write_bytes(picture)
        sys.stdout.write(f"{folder / name}: {len(picture) // 1024} KiB\n")


if __name__ == "__main__":
    _write(Path(sys.argv[1]) if len(sys.argv) > 1 else _FOLDER)
