"""What stops a process before it starts: settings that are missing, wrong or unknown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from worker.core.outcome import UnsurePolicy
from worker.deployment import build_catalogue, build_channels, channel_rules
from worker.errors import SettingsInvalid
from worker.settings import Settings, load_settings

SECRET = "secret77"
NEEDED = {"KABAR_AMQP_URL": "amqp://guest:guest@localhost/", "KABAR_DATABASE_URL": "postgresql://localhost/kabar"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which nothing of Kabar's is set but what every process needs."""
    for name in [name for name in os.environ if name.upper().startswith("KABAR_")]:
        monkeypatch.delenv(name)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def load(environment: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        environment.setenv(name, value)
    return load_settings()


def complaint(environment: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        load(environment, **variables)
    return str(caught.value)


def test_two_addresses_are_all_that_is_needed(environment: pytest.MonkeyPatch) -> None:
    """The inbox works without a provider."""
    settings = load(environment)

    assert settings.channels == ("inbox",)
    assert settings.amqp_urls == ["amqp://guest:guest@localhost/"]


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_what_is_missing_is_named_with_what_it_is_for(environment: pytest.MonkeyPatch, name: str) -> None:
    """Nobody has to look it up."""
    environment.delenv(name)

    said = complaint(environment)

    assert said.startswith(f"{name} is not set: ")
    assert "://" in said


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("KABAR_AMQP_URL", f"http://{SECRET}@host/", "amqp://"),
        ("KABAR_AMQP_URL", f"amqp://host/,{SECRET}", "amqp://"),
        ("KABAR_AMQP_URL", f"amqp://user:{SECRET}@host:port/", "amqp://"),
        ("KABAR_AMQP_URL", f"amqp://user:{SECRET}@host:99999/", "amqp://"),
        ("KABAR_AMQP_URL", "", "amqp://"),
        ("KABAR_DATABASE_URL", f"mysql://root:{SECRET}@host/db", "postgresql://"),
        ("KABAR_DATABASE_URL", f"postgresql://user:{SECRET}@host:port/db", "postgresql://"),
        ("KABAR_DATABASE_URL", f"{SECRET}", "postgresql://"),
        ("KABAR_CHANNELS", f"inbox,{SECRET}", "'email'"),
        ("KABAR_CHANNELS", " , ", "at least 1"),
        ("KABAR_ATTEMPT_LIMIT", "0", "greater than or equal to 1"),
        ("KABAR_ATTEMPT_LIMIT", "51", "less than or equal to 50"),
        ("KABAR_ATTEMPT_LIMIT", SECRET, "integer"),
        ("KABAR_ON_UNSURE", f"email={SECRET}", "'resend' or 'hold'"),
        ("KABAR_ON_UNSURE", "email", "'resend' or 'hold'"),
        ("KABAR_HTTP_PORT", "65536", "65535"),
        ("KABAR_LOG_LEVEL", SECRET, "'debug'"),
        ("KABAR_LOG_FORMAT", SECRET, "'json'"),
        ("KABAR_DATABASE_CONNECTIONS", "1", "greater than or equal to 2"),
        ("KABAR_TELEGRAM_API_URL", f"ftp://{SECRET}", "https://"),
        ("KABAR_SLACK_API_URL", f"https://host:{SECRET}", "https://"),
        ("KABAR_SLACK_API_URL", f"https://kabar:{SECRET}@slack.test/api", "no password"),
        ("KABAR_TELEGRAM_API_URL", f"https://telegram.test/{SECRET} bot", "https://"),
        ("KABAR_TEMPLATE_DIRS", f"/no/such/{SECRET}", "directory"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_expected_and_never_its_value(
    environment: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    """A mistyped password must not end up in a log."""
    said = complaint(environment, **{name: value})

    assert said.startswith(f"{name}: ")
    assert expected in said
    assert SECRET not in said


def test_every_mistake_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    """One restart to find them, one to correct them."""
    environment.delenv("KABAR_DATABASE_URL")
    said = complaint(environment, KABAR_HTTP_PORT="x", KABAR_LOG_FORMAT="y", KABAR_TYPO=SECRET)

    assert [line.split()[0].strip(":") for line in said.splitlines()] == [
        "KABAR_TYPO", "KABAR_DATABASE_URL", "KABAR_HTTP_PORT", "KABAR_LOG_FORMAT",
    ]  # fmt: skip
    assert SECRET not in said


@pytest.mark.parametrize(
    ("name", "close"),
    [("KABAR_CHANELS", "KABAR_CHANNELS"), ("KABAR_SMPT_URL", "KABAR_SMTP_URL"), ("KABAR_QQQQQQQQQQQQ", "docs/")],
)
def test_an_unknown_variable_is_named_with_the_nearest_one(
    environment: pytest.MonkeyPatch, name: str, close: str
) -> None:
    """A setting that is silently without effect is the worst kind."""
    said = complaint(environment, **{name: SECRET})

    assert said.startswith(f"{name} is no setting")
    assert close in said
    assert SECRET not in said


def test_variables_of_the_development_commands_are_no_mistake(environment: pytest.MonkeyPatch) -> None:
    """They may be set where a worker runs."""
    load(environment, KABAR_CACHE="/tmp/x", KABAR_REQUIRE_RABBITMQ="1")


def test_lists_are_separated_by_commas(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With or without spaces; a repeated channel counts once."""
    settings = load(
        environment,
        KABAR_AMQP_URL="amqp://one/, amqps://two:5671/v",
        KABAR_CHANNELS=" inbox, slack,inbox ",
        KABAR_ON_UNSURE="slack=resend, inbox=hold",
        KABAR_TEMPLATE_DIRS=str(tmp_path),
        KABAR_DATABASE_URL="postgresql://u:p@one:5432,two:5433/db?sslmode=require",
    )

    assert settings.amqp_urls == ["amqp://one/", "amqps://two:5671/v"]
    assert settings.channels == ("inbox", "slack")
    assert settings.on_unsure == {"slack": UnsurePolicy.RESEND, "inbox": UnsurePolicy.HOLD}
    assert settings.template_dirs == (tmp_path,)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"KABAR_CHANNELS": "email", "KABAR_EMAIL_FROM": "a@x.test"}, "KABAR_SMTP_URL is not set"),
        ({"KABAR_CHANNELS": "email", "KABAR_SMTP_URL": "smtp://localhost"}, "KABAR_EMAIL_FROM is not set"),
        ({"KABAR_CHANNELS": "telegram"}, "KABAR_TELEGRAM_TOKEN is not set"),
        ({"KABAR_CHANNELS": "telegram", "KABAR_TELEGRAM_TOKEN": ""}, "KABAR_TELEGRAM_TOKEN is not set"),
        ({"KABAR_CHANNELS": "telegram", "KABAR_TELEGRAM_TOKEN": SECRET}, "KABAR_TELEGRAM_TOKEN"),
        (
            {"KABAR_CHANNELS": "email", "KABAR_SMTP_URL": f"http://u:{SECRET}@h", "KABAR_EMAIL_FROM": "a@x.test"},
            "KABAR_SMTP_URL",
        ),
        (
            {"KABAR_CHANNELS": "email", "KABAR_SMTP_URL": f"smtp://u:{SECRET}@h:port", "KABAR_EMAIL_FROM": "a@x.test"},
            "KABAR_SMTP_URL",
        ),
        (
            {"KABAR_CHANNELS": "email", "KABAR_SMTP_URL": "smtp://h", "KABAR_EMAIL_FROM": f"{SECRET}\r\nBcc: x"},
            "KABAR_EMAIL_FROM",
        ),
        ({"KABAR_CHANNELS": "slack", "KABAR_SLACK_WEBHOOK_ORIGINS": SECRET}, "KABAR_SLACK_WEBHOOK_ORIGINS"),
    ],
)  # fmt: skip
def test_an_enabled_channel_without_what_it_needs_names_the_variable(
    environment: pytest.MonkeyPatch, variables: Mapping[str, str], named: str
) -> None:
    """Found at the start, not at the first message."""
    settings = load(environment, **variables)

    with pytest.raises(SettingsInvalid) as caught:
        build_channels(settings)

    assert named in str(caught.value)
    assert SECRET not in str(caught.value)


async def test_a_channel_that_is_switched_off_needs_nothing(environment: pytest.MonkeyPatch) -> None:
    """Half a configuration of what is not used does not matter."""
    channels = build_channels(load(environment, KABAR_CHANNELS="inbox", KABAR_EMAIL_FROM="nonsense"))

    assert list(channels) == ["inbox"]


def test_a_policy_for_a_channel_that_is_off_is_a_mistake(environment: pytest.MonkeyPatch) -> None:
    """It would be without effect."""
    settings = load(environment, KABAR_ON_UNSURE="slack=hold")

    with pytest.raises(SettingsInvalid, match="KABAR_ON_UNSURE names slack"):
        channel_rules(settings, build_channels(settings), build_catalogue(settings))


def test_a_policy_for_a_category_that_no_event_has_is_a_mistake(environment: pytest.MonkeyPatch) -> None:
    """It would be without effect; the categories there are get named."""
    settings = load(environment, KABAR_ON_UNSURE="inbox.biling=hold")

    with pytest.raises(SettingsInvalid, match=r"names the category 'biling'; the categories are .*billing"):
        channel_rules(settings, build_channels(settings), build_catalogue(settings))


def test_several_mail_servers_are_told_apart_even_by_a_comma_in_a_password(environment: pytest.MonkeyPatch) -> None:
    """The order given is the order of preference; hosts are shown, users and passwords never."""
    urls = "smtp://kabar:a,b@one.test, smtps://kabar:c@two.test:4465,smtp://two.test:4465"
    settings = load(environment, KABAR_CHANNELS="email", KABAR_SMTP_URL=urls, KABAR_EMAIL_FROM="k@x.test")

    channels = build_channels(settings)["email"]

    assert len(settings.smtp_urls) == 3
    assert [channel.provider for channel in channels] == ["one.test", "two.test:4465", "two.test:4465"]


def test_the_policy_that_is_set_holds_over_the_channels_own(environment: pytest.MonkeyPatch) -> None:
    """Else the channel knows best."""
    settings = load(environment, KABAR_ON_UNSURE="inbox=hold", KABAR_ATTEMPT_LIMIT="3")

    rules = channel_rules(settings, build_channels(settings), build_catalogue(settings))

    assert (rules["inbox"].on_unsure, rules["inbox"].attempt_limit) == (UnsurePolicy.HOLD, 3)
    assert not rules["inbox"].needs_address


@pytest.mark.parametrize(
    ("given", "critical", "billing", "promo"),
    [
        ("", "resend", "hold", "hold"),
        ("slack=hold", "hold", "hold", "hold"),
        ("slack=resend", "resend", "resend", "resend"),
        ("slack.billing=resend", "resend", "resend", "hold"),
        ("slack=resend,slack.billing=hold,slack.system=hold", "hold", "hold", "resend"),
    ],
)
def test_the_policy_of_a_category_goes_before_the_channels_and_critical_before_the_default(
    environment: pytest.MonkeyPatch, given: str, critical: str, billing: str, promo: str
) -> None:
    """What must arrive is sent again unless the operator says otherwise; the narrower word holds."""
    settings = load(environment, KABAR_CHANNELS="slack", KABAR_ON_UNSURE=given)
    catalogue = build_catalogue(settings)

    rule = channel_rules(settings, build_channels(settings), catalogue)["slack"]

    policies = [
        rule.policy(info)
        for name in ("security.alert", "payment.completed", "promo.flash_sale")
        if (info := catalogue.find(name))
    ]
    assert policies == [critical, billing, promo]


@pytest.mark.parametrize("module", ["no.such.module", "schemas.events.billing_", "json"])
def test_a_module_of_event_types_that_cannot_be_used_is_named(environment: pytest.MonkeyPatch, module: str) -> None:
    """A module without any event type is a typing error too."""
    settings = load(environment, KABAR_EVENT_MODULES=module)

    with pytest.raises(SettingsInvalid, match="KABAR_EVENT_MODULES"):
        build_catalogue(settings)
