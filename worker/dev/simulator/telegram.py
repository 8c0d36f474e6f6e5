"""The part of Telegram's Bot API that sends text: `getMe` and `sendMessage`, answering as the real one does.

Sources: https://core.telegram.org/bots/api (methods, limits, errors as the server words them). A Telegram server
of one's own accepts any token; here too, but for one that contains `fail-permanent`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from worker.dev.simulator.arrivals import Arrivals
from worker.dev.simulator.behaviour import Gate, Treatment, wish_in
from worker.dev.simulator.silence import Silence
from worker.dev.simulator.telegram_markup import Faulty, read_markup

MAX_TEXT = 4096
_BOT = {"id": 1000, "is_bot": True, "first_name": "Kabar simulator", "username": "kabar_simulator_bot"}
_KNOWN = {
    "chat_id",
    "text",
    "parse_mode",
    "reply_markup",
    "link_preview_options",
    "disable_web_page_preview",
    "disable_notification",
    "protect_content",
}


@dataclass(frozen=True, slots=True)
class _Fault:
    status: int
    description: str
    retry_after_seconds: int = 0


class Telegram:
    """The fake Bot API. Everything it takes is one arrival, addressed to the chat id."""

    def __init__(self, arrivals: Arrivals, gate: Gate, silence: Silence) -> None:
        self._arrivals = arrivals
        self._gate = gate
        self._silence = silence

    def routes(self) -> list[web.RouteDef]:
        """Answer its routes: the Bot API under `/telegram`, methods named without regard to case, as Telegram does."""
        return [web.route(verb, "/telegram/bot{token}/{method}", self._call) for verb in ("GET", "POST")]

    async def _call(self, request: web.Request) -> web.StreamResponse:
        if wish_in(request.match_info["token"]) == "fail-permanent":
            return _answer(_Fault(401, "Unauthorized"))
        match request.match_info["method"].lower():
            case "getme":
                return _ok(_BOT)
            case "sendmessage":
                return await self._send_message(request)
            case _:
                return _answer(_Fault(404, "Not Found: the simulator knows getMe and sendMessage"))

    async def _send_message(self, request: web.Request) -> web.StreamResponse:
        parameters = await _parameters(request)
        if isinstance(parameters, _Fault):
            return self._turn_away(parameters)
        chat = str(parameters.get("chat_id", ""))
        treatment = self._gate.treat(chat, now=asyncio.get_running_loop().time())
        fault = _refusal(treatment) or _parameter_fault(parameters) or _chat_fault(chat, treatment)
        if fault:
            return self._turn_away(fault)
        sent, mode = str(parameters.get("text", "")), str(parameters.get("parse_mode", ""))
        read = read_markup(sent) if mode else None
        if isinstance(read, Faulty):
            return self._turn_away(_Fault(400, f"Bad Request: can't parse entities: {read.description}"))
        text = (read.text if read else sent).strip()
        fault = _text_fault(text)
        if fault:
            return self._turn_away(fault)
        arrival = self._arrivals.add(
            "telegram",
            to=chat,
            title=text.partition("\n")[0],
            text=text,
            html=sent if mode else "",
            raw=orjson.dumps(parameters),
        )
        if treatment.wish == "silent":
            return await self._silence.keep(request)
        return _ok({"message_id": arrival.number, "from": _BOT, "date": int(time.time()), **_chat(chat), "text": text})

    def _turn_away(self, fault: _Fault) -> web.Response:
        self._arrivals.turn_away("telegram")
        return _answer(fault)


async def _parameters(request: web.Request) -> dict[str, Any] | _Fault:
    found: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict):
            return _Fault(400, "Bad Request: object expected as JSON body")
        return found | body
    found |= {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    markup = found.get("reply_markup")
    if isinstance(markup, str):
        try:
            found["reply_markup"] = orjson.loads(markup)
        except orjson.JSONDecodeError:
            return _Fault(400, "Bad Request: can't parse reply keyboard markup JSON object")
    return found


def _refusal(treatment: Treatment) -> _Fault | None:
    match treatment.wish:
        case "accept" | "silent":
            return None
        case "fail-permanent":
            return _Fault(403, "Forbidden: bot was blocked by the user")
        case "fail-transient":
            return _Fault(500, "Internal Server Error")
        case "rate-limit":
            seconds = treatment.retry_after_seconds
            return _Fault(429, f"Too Many Requests: retry after {seconds}", seconds)


def _parameter_fault(parameters: dict[str, Any]) -> _Fault | None:
    unknown = parameters.keys() - _KNOWN
    if unknown:
        return _Fault(400, f"Bad Request: the simulator does not know the parameter {min(unknown)}")
    if str(parameters.get("parse_mode", "")).lower() not in {"", "html"}:
        return _Fault(400, "Bad Request: unsupported parse_mode (the simulator reads HTML)")
    return _keyboard_fault(parameters.get("reply_markup"))


def _chat_fault(chat: str, treatment: Treatment) -> _Fault | None:
    if not chat:
        return _Fault(400, "Bad Request: chat_id is empty")
    is_id = chat.removeprefix("-").isdecimal()
    is_username = chat.startswith("@") and chat[1:].isascii() and chat[1:].replace("_", "").isalnum()
    if not is_id and not is_username and treatment.wish == "accept" and wish_in(chat) == "accept":
        return _Fault(400, "Bad Request: chat not found")
    return None


def _text_fault(text: str) -> _Fault | None:
    if not text:
        return _Fault(400, "Bad Request: message text is empty")
    if len(text.encode("utf-16-le")) // 2 > MAX_TEXT:
        return _Fault(400, "Bad Request: message is too long")
    return None


def _keyboard_fault(markup: Any) -> _Fault | None:
    """Check an inline keyboard of links. A host without a dot (`localhost`) is refused by Telegram as well."""
    if markup is None:
        return None
    try:
        buttons = [button for row in markup["inline_keyboard"] for button in row]
        links = [(str(button["text"]), str(button["url"])) for button in buttons]
    except (KeyError, TypeError):
        return _Fault(400, "Bad Request: can't parse inline keyboard button (the simulator knows text and url)")
    for label, link in links:
        if not label.strip():
            return _Fault(400, "Bad Request: inline keyboard button text is empty")
        if not _is_link(link):
            return _Fault(400, f"Bad Request: inline keyboard button URL '{link}' is invalid: Wrong HTTP URL")
    return None


def _is_link(link: str) -> bool:
    try:
        parts = urlsplit(link)
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme == "tg" or (parts.scheme in {"http", "https"} and "." in host)


def _chat(chat: str) -> dict[str, object]:
    is_id = chat.removeprefix("-").isdecimal()
    return {"chat": {"id": int(chat), "type": "private"} if is_id else {"username": chat[1:], "type": "channel"}}


def _ok(result: dict[str, object]) -> web.Response:
    return web.json_response({"ok": True, "result": result})


def _answer(fault: _Fault) -> web.Response:
    body: dict[str, object] = {"ok": False, "error_code": fault.status, "description": fault.description}
    if fault.retry_after_seconds:
        body["parameters"] = {"retry_after": fault.retry_after_seconds}
    return web.json_response(body, status=fault.status)
