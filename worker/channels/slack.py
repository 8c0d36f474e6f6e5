"""Slack by incoming webhooks and, with a bot's token, by chat.postMessage. Texts are mrkdwn in Block Kit.

An address is a webhook's URL of an allowed origin (it is a secret: it is never shown) or the id of a channel or person.
Nothing else is ever contacted, and redirects are not followed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape
from typing import Any

import orjson

from worker.channels.base import Abilities, Target
from worker.channels.fitting import clean, is_web, one_line, safe_link, safe_picture, shorten, shorten_mrkdwn
from worker.channels.http import Poster, host_of, provider_failure, reference
from worker.channels.http_connection import Answer
from worker.core.content import Content, Markup
from worker.core.mask import mask
from worker.core.outcome import Deferred, Outcome, Refused, Sent, Unsure, UnsurePolicy

_TITLE_LIMIT = 250
_FALLBACK_LIMIT = 500
_SECTION_LIMIT = 3000  # https://docs.slack.dev/reference/block-kit/blocks/section-block
_LABEL_LIMIT = 75  # https://docs.slack.dev/reference/block-kit/block-elements/button-element
_CHECK_SECONDS = 10.0
_SECRET_LENGTH = 8
_ID = re.compile(r"[CUDGW][A-Z0-9]{2,30}", re.ASCII)
_PATH = re.compile(r"/[A-Za-z0-9_.~/-]{1,500}", re.ASCII)
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(?::\d{1,5})?", re.ASCII)

# Words of https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks (handling errors)
# and https://docs.slack.dev/reference/methods/chat.postMessage (errors).
_GONE = frozenset(
    [
        "channel_is_archived",
        "channel_not_found",
        "invalid_token",
        "is_archived",
        "no_service",
        "no_service_id",
        "no_team",
        "team_disabled",
        "user_disabled",
        "user_not_found",
    ]
)
_CLOSED = frozenset(
    [
        "action_prohibited",
        "as_user_not_supported",
        "cannot_dm_bot",
        "cannot_reply_to_message",
        "messages_tab_disabled",
        "not_in_channel",
        "posting_to_general_channel_denied",
        "restricted_action",
        "restricted_action_read_only_channel",
        "user_not_visible",
    ]
)
_ACCOUNT = frozenset(
    [
        "access_denied",
        "account_inactive",
        "ekm_access_denied",
        "enterprise_is_restricted",
        "invalid_auth",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "not_authed",
        "org_login_required",
        "team_access_not_granted",
        "token_expired",
        "token_revoked",
        "two_factor_setup_required",
    ]
)
_LIMITED = frozenset(["message_limit_exceeded", "rate_limited", "ratelimited"])
_TROUBLED = frozenset(
    ["fatal_error", "internal_error", "request_timeout", "rollup_error", "service_unavailable", "team_added_to_org"]
)


# A status of these is about this message; 408, redirects and the provider's own errors may be over later.
_DEFINITE = frozenset({200, *range(400, 500)} - {408})


@dataclass(frozen=True, slots=True)
class SlackMessage:
    """One message as Slack takes it, and where to post it: a webhook's URL, or empty for chat.postMessage."""

    webhook: str = field(repr=False)
    payload: bytes


class SlackChannel:
    """Messages into one Slack workspace by `token`, and into any by webhook.

    `webhook_origins`: scheme, host and port that a webhook's URL may have, compared exactly. Raises `ValueError` where
    one is more than that. `per_second` and `per_address` as in `Abilities`.
    """

    def __init__(
        self,
        *,
        token: str = "",
        api_url: str = "https://slack.com/api",
        webhook_origins: tuple[str, ...] = ("https://hooks.slack.com",),
        concurrency: int = 32,
        per_second: float = 0.0,
        per_address: float = 0.0,
    ) -> None:
        if not all(_ORIGIN.fullmatch(origin) for origin in webhook_origins):
            raise ValueError(
                "expected origins such as https://hooks.slack.com: lower case, no path, no slash at the end"
            )
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise ValueError("expected a bot's token such as xoxb-…")
        self._token = token
        self._api_url = api_url.rstrip("/")
        self._origins = frozenset(webhook_origins)
        self._poster = Poster()
        self._authorization = {"Authorization": f"Bearer {token}"}
        self._provider = host_of(api_url if token else next(iter(webhook_origins), ""))
        self._abilities = Abilities(
            markups=(Markup.MRKDWN,),
            concurrency=concurrency,
            on_unsure=UnsurePolicy.HOLD,
            per_second=per_second,
            per_address=per_address,
        )

    @property
    def name(self) -> str:
        """`slack`."""
        return "slack"

    @property
    def provider(self) -> str:
        """The Web API's host, or where there is no token the webhooks'."""
        return self._provider

    @property
    def abilities(self) -> Abilities:
        """mrkdwn; a repetition would be seen twice, so it is held."""
        return self._abilities

    def fit(self, contents: tuple[Content, ...], target: Target) -> SlackMessage | Refused:
        """Lay the content out in blocks, with a plain fallback for notifications on the screen."""
        (content,) = contents
        payload = _payload(content)
        if image := safe_picture(target.trimmings.image):
            payload["attachments"] = [_picture(content.title, image)]
        if _ID.fullmatch(target.address):
            if not self._token:
                return Refused("token_missing", "an id as address needs a bot's token", fault="ours")
            payload["channel"] = target.address
            return SlackMessage("", orjson.dumps(payload))
        if not self._is_allowed(target.address):
            return Refused("address_not_allowed", "neither an id nor a webhook of an allowed origin")
        return SlackMessage(target.address, orjson.dumps(payload))

    async def send(self, message: SlackMessage, *, timeout_seconds: float) -> Outcome:
        """Post to the webhook, or by the Web API."""
        if message.webhook:
            answer = await self._poster.post(
                message.webhook, message.payload, {}, timeout_seconds=timeout_seconds, secret=message.webhook
            )
            return answer if not isinstance(answer, Answer) else self._of_webhook(answer, message.webhook)
        answer = await self._call("chat.postMessage", message.payload, timeout_seconds)
        return answer if not isinstance(answer, Answer) else self._of_method(answer)

    async def check(self) -> str:
        """Ask who the bot is (auth.test). A webhook cannot be tried without posting, so without a token all is well."""
        if not self._token:
            return ""
        answer = await self._call("auth.test", b"{}", _CHECK_SECONDS)
        if not isinstance(answer, Answer):
            return f"no answer from Slack: {answer.detail}. Check the API's URL and that a firewall lets us out."
        read = _read(answer)
        if read.get("ok") is True:
            return ""
        said = self._said(answer, str(read.get("error", "")))
        return f"auth.test was answered {said}. Check the bot's token and its scope chat:write."

    async def aclose(self) -> None:
        """Close all connections. Safe to call twice."""
        await self._poster.aclose()

    def _is_allowed(self, address: str) -> bool:
        # An origin as it stands and a path of plain characters: nothing that one parser reads so and another otherwise.
        end = address.find("/", len("https://"))
        return end > 0 and address[:end] in self._origins and bool(_PATH.fullmatch(address, end))

    async def _call(self, method: str, body: bytes, timeout_seconds: float) -> Answer | Deferred | Unsure:
        return await self._poster.post(
            f"{self._api_url}/{method}",
            body,
            self._authorization,
            timeout_seconds=timeout_seconds,
            secret=self._token,
        )

    def _of_webhook(self, answer: Answer, webhook: str) -> Outcome:
        if answer.status == 200:  # noqa: PLR2004
            return Sent()
        word = answer.body.decode("utf-8", "replace").strip()
        said = self._said(answer, word, webhook)
        if answer.status in (404, 410):
            return Refused("address_unknown", said, suppress=True)
        return _of_word(answer, word, said)

    def _of_method(self, answer: Answer) -> Outcome:
        read = _read(answer)
        word = str(read.get("error", ""))
        said = self._said(answer, word)
        if answer.status == 200:  # noqa: PLR2004
            if read.get("ok") is True:
                return Sent(reference(read.get("ts")))
            if not word:
                return Unsure("answer_unreadable", said)
            if word in _ACCOUNT:
                return Deferred("credentials_rejected", said, costs_attempt=False, scope="account")
        if answer.status in (401, 403, 404):
            return Deferred("credentials_rejected", said, costs_attempt=False, scope="account")
        return _of_word(answer, word, said)

    def _said(self, answer: Answer, word: str, webhook: str = "") -> str:
        # A webhook's path is as secret as the whole.
        parts = [part for part in webhook.split("/")[3:] if len(part) >= _SECRET_LENGTH]
        return mask(f"{answer.status} {word}", self._token, webhook, *parts)


def _of_word(answer: Answer, word: str, said: str) -> Outcome:
    if answer.status == 429 or word in _LIMITED:  # noqa: PLR2004
        # Slack counts per channel (https://docs.slack.dev/apis/web-api/rate-limits), and a webhook is one channel's.
        return Deferred("rate_limited", said, answer.retry_after, costs_attempt=False, scope="address")
    if word in _GONE:
        return Refused("address_unknown", said, suppress=True)
    if word in _CLOSED:
        return Refused("rejected_by_policy", said)
    if word in _TROUBLED or answer.status not in _DEFINITE:
        return provider_failure(answer, said)
    return Refused("message_rejected", said, fault="ours")


def _payload(content: Content) -> dict[str, object]:
    link = safe_link(content.link)
    title = shorten_mrkdwn(one_line(content.title), _TITLE_LIMIT)
    foot = ""
    if link and not is_web(link):
        foot = f"\n\n<{_escaped(link)}|{shorten_mrkdwn(one_line(content.action), _LABEL_LIMIT) or _escaped(link[7:])}>"
    body = shorten_mrkdwn(clean(content.body), _SECTION_LIMIT - len(title) - len(foot) - 8)
    blocks: list[dict[str, object]] = [_section(f"*{title}*\n\n{body}{foot}" if body or foot else f"*{title}*")]
    if is_web(link):
        blocks.append({"type": "actions", "elements": [_button(content.action, link)]})
    # Screen readers and notifications take this text instead of the blocks.
    fallback = shorten_mrkdwn(f"{title}\n{body}", _FALLBACK_LIMIT)
    return {"text": fallback, "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def _picture(title: str, url: str) -> dict[str, object]:
    # An image block whose picture Slack cannot load at once makes it refuse the whole message
    # (https://github.com/slackapi/python-slack-sdk/issues/1782); an attachment only stays without.
    return {"fallback": shorten(unescape(one_line(title)), _TITLE_LIMIT), "image_url": url}


def _section(text: str) -> dict[str, object]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _button(action: str, link: str) -> dict[str, object]:
    label = shorten(unescape(one_line(action)) or link, _LABEL_LIMIT)
    return {"type": "button", "url": link, "text": {"type": "plain_text", "text": label, "emoji": True}}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "%7C")


def _read(answer: Answer) -> dict[str, Any]:
    try:
        read = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}
