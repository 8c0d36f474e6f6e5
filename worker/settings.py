"""All settings, from environment variables `KABAR_…`. A wrong or unknown one stops the process and says which.

The table in `docs/settings.md` is generated from here.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, DirectoryPath, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from worker.core.outcome import UnsurePolicy
from worker.errors import SettingsInvalid

PREFIX = "KABAR_"
_LAST_PORT = 65_535
_LONGEST_NAME = 60
_WEB_ADDRESS = re.compile(r"https?://[!-~]+")
_WEB_LINK = re.compile(
    r"https?://[\w.:\[\]-]+(?:[/?#](?:[!#-;=?-\[\]_a-z~]|\{person\}|\{delivery\}){0,400})?", re.ASCII
)
TOOLING = frozenset({"KABAR_CACHE", "KABAR_HOME", "KABAR_PG_BIN", "KABAR_REQUIRE_PROMTOOL", "KABAR_REQUIRE_RABBITMQ"})
"""Variables of the development commands: no settings of a worker, and no mistakes either."""

BRAND = ("brand_name", "brand_logo_url", "brand_colour", "settings_url")
"""What makes the mails a product's own, by the names in `Settings`."""


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _pairs(value: object) -> object:
    if not isinstance(value, str):
        return value
    parts = [part.partition("=") for part in value.split(",") if part.strip()]
    return {name.strip(): policy.strip() for name, _, policy in parts}


def _has_ports(url: str) -> bool:
    """Every host of the URL, for PostgreSQL takes several, has no port or a number."""
    hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
    ports = (host.rpartition("]")[2].partition(":")[2] for host in hosts)
    return all(not port or (port.isdecimal() and 0 < int(port) <= _LAST_PORT) for port in ports)


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Policies = Annotated[dict[str, UnsurePolicy], NoDecode, BeforeValidator(_pairs)]
ChannelName = Literal["inbox", "email", "telegram", "slack"]
Channels = Annotated[tuple[ChannelName, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """One deployment's settings. The same for all its processes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, hide_input_in_errors=True)

    amqp_url: SecretStr = Field(
        description="RabbitMQ, as amqp:// or amqps://; several, separated by commas, are tried in turn"
    )
    database_url: SecretStr = Field(description="PostgreSQL, as postgresql://user:password@host:port/database")
    channels: Channels = Field(
        ("inbox",), min_length=1, description="the channels this deployment delivers on: inbox, email, telegram, slack"
    )
    retention_days: int = Field(
        30, ge=1, le=3650, description="how long events and what came of them are kept, where their type does not say"
    )
    attempt_limit: int = Field(8, ge=1, le=50, description="how often one delivery is tried before it is dead")
    on_unsure: Policies = Field(
        {},
        description="what to do when nobody knows whether a message went out, `resend` or `hold`, by CHANNEL or"
        " CHANNEL.CATEGORY, which goes before: `email=hold,slack.billing=resend`. Unless set, inbox, email and all that"
        " is critical are sent again, the rest is held",
    )

    smtp_url: SecretStr | None = Field(
        None,
        description="the mail server: smtp:// (STARTTLS where offered) or smtps://, with user and password; of several,"
        " separated by commas, the next is used where one is out of order or defers a mail",
    )
    smtp_per_second: float = Field(
        0, ge=0, le=10_000, description="mails a second that each mail server takes of all workers together; 0: any"
    )
    smtp_per_connection: int = Field(500, ge=1, description="mails after which a connection is replaced")
    email_from: str | None = Field(None, description="the sender of e-mails, as: Kabar <no-reply@example.com>")
    email_concurrency: int = Field(16, ge=1, le=500, description="mail connections of one process")
    brand_name: str = Field("Kabar", description="the product's name, as mails show it")
    brand_logo_url: str | None = Field(
        None, description="the logo of mails, 32 pixels high, to be seen on light and on dark"
    )
    brand_colour: str = Field(
        "#2457d6", pattern=r"^#[0-9a-fA-F]{6}$", description="the colour of buttons and links in mails"
    )
    settings_url: str | None = Field(
        None,
        description="where a person chooses what to get, and unsubscribes by a POST (RFC 8058); `{person}` and"
        " `{delivery}` in it become the ids",
    )
    telegram_token: SecretStr | None = Field(None, description="the bot's token from @BotFather")
    telegram_api_url: str = Field("https://api.telegram.org", description="the Bot API's address")
    telegram_concurrency: int = Field(24, ge=1, le=500, description="Telegram calls of one process at once")
    telegram_per_second: float = Field(
        30, ge=0, le=10_000, description="messages a second that the bot may send by all workers together; 0: any"
    )
    telegram_per_chat_per_second: float = Field(
        1, ge=0, le=100, description="messages a second to one chat by all workers together; 0: any"
    )
    slack_token: SecretStr | None = Field(
        None, description="a bot token, for addresses that are channel or user ids; webhook addresses need none"
    )
    slack_api_url: str = Field("https://slack.com/api", description="the Slack Web API's address")
    slack_webhook_origins: Words = Field(
        ("https://hooks.slack.com",), description="where webhook addresses may point, as origins"
    )
    slack_concurrency: int = Field(32, ge=1, le=500, description="Slack calls of one process at once")
    slack_per_second: float = Field(
        0, ge=0, le=10_000, description="messages a second to Slack by all workers together; 0: any"
    )
    slack_per_webhook_per_second: float = Field(
        1, ge=0, le=100, description="messages a second to one webhook, channel or person by all workers; 0: any"
    )

    event_modules: Words = Field((), description="Python modules with a product's own event types")
    template_dirs: Annotated[tuple[DirectoryPath, ...], NoDecode, BeforeValidator(_split)] = Field(
        (), description="folders with a product's own texts; they hold over the built-in ones"
    )

    http_host: str = Field(
        "127.0.0.1", description="where /healthz, /readyz and /metrics listen; 0.0.0.0 in a container"
    )
    http_port: int = Field(8600, ge=0, le=65535, description="their port; 0 takes any that is free")
    database_connections: int = Field(8, ge=2, le=100, description="database connections of one process at most")
    traces_url: str | None = Field(
        None,
        description="where traces go by OTLP over HTTP, as http://collector:4318/v1/traces; needs `kabar[traces]`."
        " OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES hold as everywhere",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least level that is logged"
    )
    log_format: Literal["json", "console"] = Field("json", description="json for machines, console for people")

    @field_validator("amqp_url")
    @classmethod
    def _amqp(cls, value: SecretStr) -> SecretStr:
        for url in value.get_secret_value().split(","):
            if not url.strip().startswith(("amqp://", "amqps://")) or not _has_ports(url.strip()):
                raise ValueError("expected amqp://user:password@host:5672/vhost, or amqps://")
        return value

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if not url.startswith(("postgresql://", "postgres://")) or not _has_ports(url):
            raise ValueError("expected postgresql://user:password@host:5432/database")
        return value

    @field_validator("telegram_api_url", "slack_api_url", "traces_url")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value is not None and (not _WEB_ADDRESS.fullmatch(value) or not _has_ports(value)):
            raise ValueError("expected https://host, or http://host:port")
        return value

    @field_validator("telegram_api_url", "slack_api_url")
    @classmethod
    def _no_login(cls, value: str) -> str:
        if "@" in urlsplit(value).netloc:
            raise ValueError("expected no user and no password: these providers know us by a token")
        return value

    @field_validator("brand_name")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not 0 < len(value.strip()) <= _LONGEST_NAME or not value.isprintable():
            raise ValueError(f"expected a name of at most {_LONGEST_NAME} characters, in one line")
        return value.strip()

    @field_validator("brand_logo_url", "settings_url")
    @classmethod
    def _link(cls, value: str | None) -> str | None:
        if value and not _WEB_LINK.fullmatch(value):
            raise ValueError("expected https://host/path, percent-encoded; braces only in {person} and {delivery}")
        return value

    @field_validator("channels")
    @classmethod
    def _no_repetition(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))

    @property
    def amqp_urls(self) -> list[str]:
        """The broker's addresses, in the order given."""
        return [url.strip() for url in self.amqp_url.get_secret_value().split(",")]

    @property
    def smtp_urls(self) -> list[str]:
        """The mail servers, in the order of preference; a comma within a password parts nothing."""
        given = self.smtp_url.get_secret_value() if self.smtp_url else ""
        return [url.strip() for url in re.split(r",\s*(?=smtps?://)", given) if url.strip()]


def load_settings(environment: Mapping[str, str] | None = None, **given: object) -> Settings:
    """Read the settings from the environment. Raises SettingsInvalid that names every variable at fault.

    `given` holds settings by their names in `Settings`; they stand over the environment's.
    """
    problems = _unknown(os.environ if environment is None else environment)
    try:
        settings = Settings(**given)  # type: ignore[arg-type]  # whatever they are, they are validated
    except ValidationError as error:
        problems += [_say(part["loc"], part["msg"], part["type"]) for part in error.errors(include_input=False)]
        raise SettingsInvalid("\n".join(problems)) from None
    if problems:
        raise SettingsInvalid("\n".join(problems))
    return settings


def load_brand_settings(environment: Mapping[str, str] | None = None) -> Settings | None:
    """Read only what mails show of a product; None where none of that is set. Raises SettingsInvalid, as above."""
    variables = os.environ if environment is None else environment
    given = {field: variables[variable(field)] for field in BRAND if variables.get(variable(field))}
    if not given:
        return None
    needed = {"amqp_url": "amqp://localhost", "database_url": "postgresql://localhost/kabar"}
    try:
        return Settings(_env_prefix="NOT_READ_", **needed, **given)  # type: ignore[arg-type]  # as above
    except ValidationError as error:
        problems = [_say(part["loc"], part["msg"], part["type"]) for part in error.errors(include_input=False)]
        raise SettingsInvalid("\n".join(problems)) from None


def variable(field: str) -> str:
    """Answer the name of the variable that sets a field."""
    return PREFIX + field.upper()


def _unknown(environment: Mapping[str, str]) -> list[str]:
    known = {variable(field) for field in Settings.model_fields} | TOOLING
    problems = []
    for name in sorted(name for name in environment if name.startswith(PREFIX) and name not in known):
        close = difflib.get_close_matches(name, known, n=1)
        problems.append(
            f"{name} is no setting" + (f"; did you mean {close[0]}?" if close else "; see docs/settings.md")
        )
    return problems


def _say(location: tuple[int | str, ...], message: str, kind: str) -> str:
    name = variable(str(location[0]))
    if kind == "missing":
        field = Settings.model_fields[str(location[0])]
        hint = " (beside `kabar up`, the line that it shows as Shell sets it)" if name == variable("amqp_url") else ""
        return f"{name} is not set: {field.description}{hint}"
    return f"{name}: {message.removeprefix('Value error, ')}"
