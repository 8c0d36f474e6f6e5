"""Telegram by the Bot API's sendMessage (https://core.telegram.org/bots/api), with HTML and one button.

An address is a chat's number or a public `@channel`. The bot's token is part of the URL there, so no URL is ever shown.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import timedelta
from html import escape, unescape
from typing import Any

import orjson

from worker.channels.base import Abilities, Target
from worker.channels.fitting import clean, is_web, one_line, safe_link, safe_picture, seen_units, shorten, shorten_html
from worker.channels.http import Poster, host_of, provider_failure, reference
from worker.channels.http_connection import Answer
from worker.core.content import Content, Markup
from worker.core.mask import mask
from worker.core.outcome import Deferred, Outcome, Refused, Sent, Unsure, UnsurePolicy

_TEXT_LIMIT = 4096
_TITLE_LIMIT = 256
_LABEL_LIMIT = 64
_CHECK_SECONDS = 10.0
_TOKEN = re.compile(r"\d{1,20}:[A-Za-z0-9_-]{1,100}")
_CHAT = re.compile(r"-?[1-9]\d{0,15}", re.ASCII)
_CHANNEL = re.compile(r"@[A-Za-z]\w{3,31}", re.ASCII)

# Error descriptions that say that this chat is at an end; they carry no codes of their own.
_GONE = re.compile(
    r"chat not found|user not found|user is deactivated|bot was (?:blocked|kicked)|group chat was deleted"
    r"|PEER_ID_INVALID|not a member of the (?:channel|supergroup)|can't initiate conversation",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class TelegramMessage:
    """One message in Telegram's own terms. An empty `url` makes no button, an empty `image` shows no picture."""

    chat: int | str
    text: str
    label: str = ""
    url: str = ""
    image: str = ""


class TelegramChannel:
    """Messages of one bot. Raises `ValueError` if the token is none. The limits are those of `Abilities`."""

    def __init__(
        self,
        token: str,
        *,
        api_url: str = "https://api.telegram.org",
        concurrency: int = 24,
        per_second: float = 0.0,
        per_address: float = 0.0,
    ) -> None:
        if not _TOKEN.fullmatch(token):
            raise ValueError("expected a bot's token as @BotFather gave it: digits, a colon, letters")
        self._token = token
        self._bot_url = f"{api_url.rstrip('/')}/bot{token}"
        self._poster = Poster()
        self._provider = host_of(api_url)
        self._abilities = Abilities(
            markups=(Markup.TELEGRAM,),
            concurrency=concurrency,
            on_unsure=UnsurePolicy.HOLD,
            per_second=per_second,
            per_address=per_address,
        )

    @property
    def name(self) -> str:
        """`telegram`."""
        return "telegram"

    @property
    def provider(self) -> str:
        """The Bot API's host."""
        return self._provider

    @property
    def abilities(self) -> Abilities:
        """Telegram's HTML; a repetition would be seen twice, so it is held."""
        return self._abilities

    def fit(self, contents: tuple[Content, ...], target: Target) -> TelegramMessage | Refused:
        """Set the title in bold above the body, and make the link a button."""
        chat = _read_chat(target.address)
        if isinstance(chat, Refused):
            return chat
        (content,) = contents
        link = safe_link(content.link)
        title = f"<b>{shorten_html(one_line(content.title), _TITLE_LIMIT)}</b>"
        # A button opens nothing but web pages; a mail address is made a link by the reader's own program.
        label = shorten_html(one_line(content.action), _LABEL_LIMIT)
        foot = f"\n\n{label}: {escape(link[7:])}" if link and not is_web(link) else ""
        body = clean(content.body)
        head = f"{title}\n\n" if body else title
        text = f"{head}{body}{foot}"
        if 2 * len(text) > _TEXT_LIMIT:  # what is seen is never more; counting it takes longer than all the rest
            room = _TEXT_LIMIT - seen_units(head) - seen_units(foot)
            text = f"{head}{shorten_html(body, room)}{foot}"
        image = safe_picture(target.trimmings.image)
        if not is_web(link):
            return TelegramMessage(chat, text, image=image)
        label = shorten(unescape(one_line(content.action)) or link, _LABEL_LIMIT)
        return TelegramMessage(chat, text, label, link, image)

    async def send(self, message: TelegramMessage, *, timeout_seconds: float) -> Outcome:
        """Send; where the group has become a supergroup, send once more to its new number.

        Telegram took nothing in the first case, so this makes no double.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        answer = await self._call("sendMessage", payload(message, message.chat), timeout_seconds)
        if isinstance(answer, Answer) and (moved_to := _moved_to(answer)):
            left = deadline - asyncio.get_running_loop().time()
            answer = await self._call("sendMessage", payload(message, moved_to), left)
        return answer if not isinstance(answer, Answer) else self._judge(answer)

    async def check(self) -> str:
        """Ask who the bot is (getMe)."""
        answer = await self._call("getMe", b"{}", _CHECK_SECONDS)
        if not isinstance(answer, Answer):
            return f"no answer from Telegram: {answer.detail}. Check the API's URL and that a firewall lets us out."
        if answer.status == 200 and _read(answer).get("ok") is True:  # noqa: PLR2004
            return ""
        return f"getMe was answered {self._said(answer)}. Check the bot's token."

    async def aclose(self) -> None:
        """Close all connections. Safe to call twice."""
        await self._poster.aclose()

    async def _call(self, method: str, body: bytes, timeout_seconds: float) -> Answer | Deferred | Unsure:
        return await self._poster.post(
            f"{self._bot_url}/{method}", body, {}, timeout_seconds=timeout_seconds, secret=self._token
        )

    def _judge(self, answer: Answer) -> Outcome:
        said = self._said(answer)
        match answer.status:
            case 200:
                result = _read(answer).get("result")
                if not isinstance(result, dict):
                    return Unsure("answer_unreadable", said)
                return Sent(reference(result.get("message_id")))
            case 429:
                # Telegram does not say whether the bot or the chat was too loud; a chat's limit is the lower one.
                return Deferred("rate_limited", said, _wait(answer), costs_attempt=False, scope="address")
            case 401 | 404:
                return Deferred("credentials_rejected", said, costs_attempt=False, scope="account")
            case 403:
                return Refused("blocked", said, suppress=True)
            case 400 if _GONE.search(said):
                return Refused("address_unknown", said, suppress=True)
            case status if 400 <= status < 500 and status != 408:  # noqa: PLR2004
                return Refused("message_rejected", said, fault="ours")
            case _:
                return provider_failure(answer, said)

    def _said(self, answer: Answer) -> str:
        return mask(f"{answer.status} {_read(answer).get('description', '')}", self._token)


def _read_chat(address: str) -> int | str | Refused:
    if _CHAT.fullmatch(address):
        return int(address)
    if _CHANNEL.fullmatch(address):
        return address
    return Refused("address_invalid", "a Telegram address is a chat's number or @channel")


def payload(message: TelegramMessage, chat: int | str) -> bytes:
    """What sendMessage is given, as JSON."""
    said: dict[str, object] = {
        "chat_id": chat,
        "text": message.text,
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
    }
    if message.image:
        # As a preview, for which the text may be longer than below a photo, and which may fail to load.
        preview = {"url": message.image, "prefer_large_media": True, "show_above_text": True}
        said["link_preview_options"] = preview
    if message.url:
        said["reply_markup"] = {"inline_keyboard": [[{"text": message.label, "url": message.url}]]}
    return orjson.dumps(said)


def _read(answer: Answer) -> dict[str, Any]:
    try:
        read = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}


def _parameter(answer: Answer, name: str) -> int:
    parameters = _read(answer).get("parameters")
    value = parameters.get(name) if isinstance(parameters, dict) else None
    return value if isinstance(value, int) else 0


def _moved_to(answer: Answer) -> int:
    return _parameter(answer, "migrate_to_chat_id") if answer.status == 400 else 0  # noqa: PLR2004


def _wait(answer: Answer) -> timedelta | None:
    seconds = _parameter(answer, "retry_after")
    return timedelta(seconds=min(seconds, 86_400)) if seconds > 0 else answer.retry_after
