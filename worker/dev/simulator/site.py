"""The pages on which people see what arrived, and the same as JSON. Read-only.

Everything in a message is hostile until shown otherwise: templates escape, markup is written anew, a mail's HTML
sits in a sandboxed frame, and the Content-Security-Policy allows nothing that is not of this folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

import orjson
from aiohttp import web
from minijinja import Environment, load_from_path

from worker.dev.simulator.arrivals import CHANNELS, Arrival, Arrivals, ChannelName
from worker.dev.simulator.mail import read_mail
from worker.dev.simulator.views import conversations, messages_in, rows_of

_PAGES = Path(__file__).parent / "pages"
_ASSETS = {"style.css": "text/css", "live.js": "text/javascript"}
_LISTED = 100
_GLANCED = 40
_MAX_ANSWERED = 2_000
_VIEWS = ("html", "text", "headers", "source")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The frame's own policy comes first in it, so that nothing in the mail can precede it; links open in a new tab.
_FRAME_START = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
    'img-src data:"><base target="_blank">'
)


@dataclass(frozen=True, slots=True)
class Links:
    """Where the fake providers listen."""

    smtp: str
    telegram_api: str
    slack_api: str
    slack_webhook: str


class Site:
    """Overview, mail, Telegram and Slack pages, and `/api/arrivals`."""

    def __init__(self, arrivals: Arrivals, links: Callable[[], Links]) -> None:
        """Take `links` as a function, because ports are known only once they are open."""
        self._arrivals = arrivals
        self._links = links

    def routes(self) -> list[web.RouteDef]:
        """Answer its routes."""
        return [
            web.get("/", self._overview),
            web.get("/mail", self._mail),
            web.get("/mail/{number:[0-9]{1,15}}", self._mail),
            web.get("/telegram", self._telegram),
            web.get("/slack", self._slack),
            web.get("/api/arrivals", self._list),
            web.get("/api/version", self._tell_version),
            web.get("/assets/{name}", self._asset),
        ]

    async def _overview(self, request: web.Request) -> web.Response:
        newest = self._arrivals.kept()[::-1][:_GLANCED]
        return self._page(request, "overview.html", {"rows": rows_of(newest), "links": asdict(self._links())})

    async def _mail(self, request: web.Request) -> web.Response:
        mails = self._arrivals.kept("email")[::-1]
        number = request.match_info.get("number")
        mail = mails[0] if mails and number is None else self._arrivals.find(int(number or 0))
        if number is not None and (mail is None or mail.channel != "email"):
            return self._page(request, "missing.html", {"here": "/mail"}, status=404)
        reading = self._reading(mail, request.query.get("view", "")) if mail else {}
        own = f"/mail/{mail.number}?view={reading['view']}" if mail else "/mail"
        is_chosen = number is not None
        rows = rows_of(mails[:_LISTED])
        values: dict[str, object] = {"rows": rows, "own": own, "is_chosen": is_chosen, "here": "/mail"} | reading
        return self._page(request, "mail.html", values)

    def _reading(self, arrival: Arrival, view: str) -> dict[str, object]:
        mail = read_mail(arrival.raw)
        offered = [name for name in _VIEWS if name not in {"html", "text"} or getattr(mail, name)]
        return {
            "row": rows_of([arrival])[0],
            "view": view if view in offered else offered[0],
            "offered": offered,
            "mail": mail,
            "frame": _FRAME_START + mail.html,
            "source": arrival.raw.decode("utf-8", "replace"),
            "size": len(arrival.raw),
        }

    async def _telegram(self, request: web.Request) -> web.Response:
        return self._chats(request, "telegram")

    async def _slack(self, request: web.Request) -> web.Response:
        return self._chats(request, "slack")

    def _chats(self, request: web.Request, channel: ChannelName) -> web.Response:
        kept = self._arrivals.kept(channel)
        chats = conversations(kept)
        asked = request.query.get("to")
        chosen = next((chat for chat in chats if asked in (None, chat.to)), None)
        if asked is not None and chosen is None:
            return self._page(request, "missing.html", {"here": f"/{channel}"}, status=404)
        messages = messages_in([arrival for arrival in kept if chosen and arrival.to == chosen.to][-_LISTED:])
        own = f"/{channel}?to={quote(chosen.to, safe='')}" if chosen else f"/{channel}"
        values: dict[str, object] = {
            "here": f"/{channel}",
            "own": own,
            "is_chosen": asked is not None,
            "chats": chats[:_LISTED],
            "chosen": chosen,
            "messages": messages,
        }
        return self._page(request, f"{channel}.html", values)

    async def _list(self, request: web.Request) -> web.Response:
        channel, after, limit = (request.query.get(name, "") for name in ("channel", "after", "limit"))
        if channel not in {"", *CHANNELS} or any(not value.isdecimal() for value in (after or "0", limit or "1")):
            text = f"channel: one of {', '.join(CHANNELS)}; after: a number; limit: at most {_MAX_ANSWERED}\n"
            return web.Response(text=text, status=400)
        name = next((known for known in CHANNELS if known == channel), None)
        found = [arrival for arrival in self._arrivals.kept(name) if arrival.number > int(after or 0)]
        wanted = found[: min(int(limit or _LISTED), _MAX_ANSWERED)] if after else found[-int(limit or _LISTED) :]
        body = {"counts": self._counts(), "arrivals": [_as_json(arrival) for arrival in wanted]}
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    async def _tell_version(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._version(), headers={"Cache-Control": "no-store"})

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in _ASSETS:
            raise web.HTTPNotFound
        headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        return web.Response(text=_asset_text(name), content_type=_ASSETS[name], charset="utf-8", headers=headers)

    def _page(
        self, request: web.Request, template: str, values: dict[str, object], *, status: int = 200
    ) -> web.Response:
        common: dict[str, object] = {
            "counts": self._counts(),
            "version": self._version(),
            "here": "/",
            "own": request.path,
        }
        text = _templates().render_template(template, **(common | values))
        # A frame made of srcdoc inherits this policy: a mail's inline styles need leave here as well as there.
        styles = " 'unsafe-inline'" if template == "mail.html" else ""
        headers = {
            "Content-Security-Policy": _POLICY.format(styles=styles),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=headers)

    def _counts(self) -> dict[str, dict[str, int]]:
        arrivals = self._arrivals
        return {
            channel: {"arrived": arrivals.total(channel), "turned_away": arrivals.turned_away(channel)}
            for channel in CHANNELS
        }

    def _version(self) -> str:
        return ".".join(str(count) for pair in self._counts().values() for count in pair.values())


@cache
def _templates() -> Environment:
    return Environment(
        loader=load_from_path(_PAGES), undefined_behavior="strict", auto_escape_callback=lambda _name: "html"
    )


@cache
def _asset_text(name: str) -> str:
    return (_PAGES / name).read_text(encoding="utf-8")


def _as_json(arrival: Arrival) -> dict[str, object]:
    return asdict(arrival) | {"raw": arrival.raw.decode("utf-8", "replace")}
