"""What the settings of a deployment mean: its event types, texts and channels, and what deciding must know of those.

Makes them and wires nothing: a command that needs one of them starts no process. Each call makes them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas.catalogue import Catalogue
from worker.channels.base import Channel
from worker.channels.inbox import InboxChannel
from worker.channels.layout import Brand
from worker.core.editions import Editions
from worker.core.plan import ChannelRule
from worker.errors import SettingsInvalid
from worker.policies import rules_for
from worker.settings import Settings
from worker.texts import BUILT_IN, read_sources

_CATEGORIES = (
    "stream", "video", "account", "strike", "billing", "system", "channel", "order", "promo", "music", "community",
    "custom", "directory",
)  # fmt: skip
BUILT_IN_EVENTS = tuple(f"schemas.events.{name}" for name in _CATEGORIES)


def build_catalogue(settings: Settings) -> Catalogue:
    """Collect the built-in event types and the product's own."""
    try:
        return Catalogue.of_modules((*BUILT_IN_EVENTS, *settings.event_modules))
    except (ValueError, TypeError) as error:
        raise SettingsInvalid(f"KABAR_EVENT_MODULES: {error}") from error


def build_editions(settings: Settings) -> Editions:
    """Compile the texts' files: those that come with Kabar, and over them the deployment's own."""
    return Editions.of_files(
        source for folder in (BUILT_IN, *settings.template_dirs) for source in read_sources(folder)
    )


def build_channels(settings: Settings) -> dict[str, tuple[Channel[Any], ...]]:
    """Make the channels that are switched on, each once for each of its providers, in the order of preference.

    Raises SettingsInvalid where one lacks what it needs.
    """
    makers: dict[str, Callable[[Settings], tuple[Channel[Any], ...]]] = {
        "inbox": lambda _: (InboxChannel(),),
        "email": _email,
        "telegram": _telegram,
        "slack": _slack,
    }
    return {name: makers[name](settings) for name in settings.channels}


def _email(settings: Settings) -> tuple[Channel[Any], ...]:
    from worker.channels.email import EmailChannel  # noqa: PLC0415 - a process loads only the channels it has

    _needed(next(iter(settings.smtp_urls), None), "email", "KABAR_SMTP_URL")
    sender = _needed(settings.email_from, "email", "KABAR_EMAIL_FROM")
    try:
        return tuple(
            EmailChannel(
                url, sender,
                concurrency=settings.email_concurrency, brand=brand_of(settings),
                per_second=settings.smtp_per_second, per_connection=settings.smtp_per_connection,
            )
            for url in settings.smtp_urls
        )  # fmt: skip
    except ValueError as error:
        raise SettingsInvalid(f"KABAR_SMTP_URL or KABAR_EMAIL_FROM: {error}") from None


def brand_of(settings: Settings) -> Brand:
    """Whose mails they look like."""
    return Brand(settings.brand_name, settings.brand_colour, settings.brand_logo_url or "", settings.settings_url or "")


def _telegram(settings: Settings) -> tuple[Channel[Any], ...]:
    from worker.channels.telegram import TelegramChannel  # noqa: PLC0415 - as above

    token = settings.telegram_token.get_secret_value() if settings.telegram_token else None
    token = _needed(token, "telegram", "KABAR_TELEGRAM_TOKEN")
    try:
        channel = TelegramChannel(
            token,
            api_url=settings.telegram_api_url,
            concurrency=settings.telegram_concurrency,
            per_second=settings.telegram_per_second,
            per_address=settings.telegram_per_chat_per_second,
        )
    except ValueError as error:
        raise SettingsInvalid(f"KABAR_TELEGRAM_TOKEN or KABAR_TELEGRAM_API_URL: {error}") from None
    return (channel,)


def _slack(settings: Settings) -> tuple[Channel[Any], ...]:
    from worker.channels.slack import SlackChannel  # noqa: PLC0415 - as above

    try:
        channel = SlackChannel(
            token=settings.slack_token.get_secret_value() if settings.slack_token else "",
            api_url=settings.slack_api_url,
            webhook_origins=settings.slack_webhook_origins,
            concurrency=settings.slack_concurrency,
            per_second=settings.slack_per_second,
            per_address=settings.slack_per_webhook_per_second,
        )
    except ValueError as error:
        raise SettingsInvalid(f"KABAR_SLACK_TOKEN or KABAR_SLACK_WEBHOOK_ORIGINS: {error}") from None
    return (channel,)


def _needed(value: str | None, channel: str, name: str) -> str:
    if not value:
        raise SettingsInvalid(f"{name} is not set, and KABAR_CHANNELS switches {channel} on")
    return value


def channel_rules(
    settings: Settings, channels: Mapping[str, Sequence[Channel[Any]]], catalogue: Catalogue
) -> dict[str, ChannelRule]:
    """Say what deciding must know of each channel."""
    return rules_for(settings, {name: one[0].abilities.on_unsure for name, one in channels.items()}, catalogue)
