"""The parts of Slack that take messages: incoming webhooks, and `auth.test` and `chat.postMessage` of the Web API.

Sources: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks (answers and errors),
https://docs.slack.dev/reference/methods/chat.postMessage. Any token is good, but for one with `fail-permanent` in it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from worker.dev.simulator.arrivals import Arrivals
from worker.dev.simulator.behaviour import Gate, Treatment, wish_in
from worker.dev.simulator.silence import Silence
from worker.dev.simulator.slack_markup import MAX_TEXT, blocks_fault, plain_text


class Slack:
    """The fake Slack. A webhook's arrivals are addressed to its URL, those of `chat.postMessage` to the channel."""

    def __init__(self, arrivals: Arrivals, gate: Gate, silence: Silence, webhook_url: Callable[[str], str]) -> None:
        self._arrivals = arrivals
        self._gate = gate
        self._silence = silence
        self._webhook_url = webhook_url

    def routes(self) -> list[web.RouteDef]:
        """Answer its routes: webhooks under `/slack/services`, the Web API under `/slack/api`."""
        return [
            web.post("/slack/services/T000/B000/{name}", self._webhook),
            web.post("/slack/services/{rest:.*}", self._no_service),
            web.post("/slack/api/auth.test", self._auth_test),
            web.post("/slack/api/chat.postMessage", self._post_message),
            web.post("/slack/api/{method}", self._unknown_method),
        ]

    async def _webhook(self, request: web.Request) -> web.StreamResponse:
        address = self._webhook_url(request.match_info["name"])
        treatment = self._treat(address)
        if treatment.wish not in {"accept", "silent"}:
            self._arrivals.turn_away("slack")
            return _webhook_refusal(treatment)
        payload = await _payload(request)
        fault = "invalid_payload" if payload is None else _message_fault(payload)
        if payload is None or fault:
            self._arrivals.turn_away("slack")
            return web.Response(text=fault.partition(":")[0], status=400)
        self._take(address, payload)
        return await self._silence.keep(request) if treatment.wish == "silent" else web.Response(text="ok")

    async def _no_service(self, _request: web.Request) -> web.Response:
        self._arrivals.turn_away("slack")
        return web.Response(text="no_service", status=404)

    async def _auth_test(self, request: web.Request) -> web.Response:
        error = _token_error(request, await _payload(request) or {})
        who = {"team": "Simulator", "team_id": "T000", "user": "kabar", "user_id": "U000", "bot_id": "B000"}
        return _refuse(error) if error else web.json_response({"ok": True, "url": str(request.url.origin()), **who})

    async def _post_message(self, request: web.Request) -> web.StreamResponse:
        payload = await _payload(request)
        if payload is None:
            return self._turn_away("invalid_json")
        error = _token_error(request, payload)
        payload.pop("token", None)
        if error:
            return self._turn_away(error)
        channel = str(payload.get("channel", ""))
        treatment = self._treat(channel)
        fault = _message_fault(payload) if channel else "channel_not_found"
        if treatment.wish not in {"accept", "silent"}:
            self._arrivals.turn_away("slack")
            return _call_refusal(treatment)
        if fault:
            return self._turn_away(fault)
        self._take(channel, payload)
        if treatment.wish == "silent":
            return await self._silence.keep(request)
        return web.json_response({"ok": True, "channel": channel, "ts": f"{time.time():.6f}", "message": payload})

    async def _unknown_method(self, _request: web.Request) -> web.Response:
        return _refuse("unknown_method")

    def _treat(self, address: str) -> Treatment:
        return self._gate.treat(address, now=asyncio.get_running_loop().time())

    def _take(self, address: str, payload: dict[str, Any]) -> None:
        text = plain_text(payload)
        title = text.partition("\n")[0]
        self._arrivals.add("slack", to=address, title=title, text=text, raw=orjson.dumps(payload))

    def _turn_away(self, fault: str) -> web.Response:
        self._arrivals.turn_away("slack")
        return _refuse(fault)


async def _payload(request: web.Request) -> dict[str, Any] | None:
    """Read JSON, or a form: a webhook's with one field `payload`, the Web API's with a field for each argument."""
    if request.content_type == "application/json":
        return _object(await request.read())
    fields = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    if "payload" in fields:
        return _object(fields["payload"])
    if "blocks" not in fields:
        return dict(fields)
    try:
        return fields | {"blocks": orjson.loads(fields["blocks"])}
    except orjson.JSONDecodeError:
        return fields | {"blocks": None}


def _object(text: bytes | str) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _message_fault(payload: dict[str, Any]) -> str:
    """Answer Slack's error code and, after a colon, what is wrong; '' for a message that it takes."""
    text = payload.get("text", "")
    if "blocks" in payload:
        fault = blocks_fault(payload["blocks"])
        if fault:
            return f"invalid_blocks: {fault}"
    if not isinstance(text, str) or not (text.strip() or payload.get("blocks")):
        return "no_text"
    return "msg_too_long" if len(text) > MAX_TEXT else ""


def _token_error(request: web.Request, payload: dict[str, Any]) -> str:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ") or str(payload.get("token", ""))
    if not token:
        return "not_authed"
    return "invalid_auth" if wish_in(token) == "fail-permanent" else ""


def _webhook_refusal(treatment: Treatment) -> web.Response:
    match treatment.wish:
        case "fail-permanent":
            return web.Response(text="no_service", status=404)
        case "rate-limit":
            headers = {"Retry-After": str(treatment.retry_after_seconds)}
            return web.Response(text="rate_limited", status=429, headers=headers)
        case _:
            return web.Response(text="rollup_error", status=500)


def _call_refusal(treatment: Treatment) -> web.Response:
    match treatment.wish:
        case "fail-permanent":
            return _refuse("channel_not_found")
        case "rate-limit":
            headers = {"Retry-After": str(treatment.retry_after_seconds)}
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
        case _:
            return web.json_response({"ok": False, "error": "internal_error"}, status=500)


def _refuse(fault: str) -> web.Response:
    """Answer as the Web API does: status 200, the error in the body."""
    error, _, detail = fault.partition(": ")
    more = {"response_metadata": {"messages": [f"[ERROR] {detail}"]}} if detail else {}
    return web.json_response({"ok": False, "error": error, **more})
