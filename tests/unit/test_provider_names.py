"""How providers are called where operators read it."""

from __future__ import annotations

import pytest

from worker.channels.http import host_of
from worker.channels.slack import SlackChannel
from worker.channels.smtp import read_url


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.telegram.org", "api.telegram.org"),
        ("http://127.0.0.1:8081/bot", "127.0.0.1:8081"),
        ("https://user:secret@slack.test/api", "slack.test"),
    ],
)
def test_a_web_api_is_called_by_its_host(url: str, name: str) -> None:
    """Nothing secret that a URL may hold is part of it."""
    assert host_of(url) == name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("smtp://kabar:secret@mail.test", "mail.test"),
        ("smtps://mail.test:465", "mail.test"),
        ("smtp://mail.test:2525", "mail.test:2525"),
    ],
)
def test_a_mail_server_is_called_by_its_host(url: str, name: str) -> None:
    """And by its port where that is an unusual one."""
    assert read_url(url).name == name


@pytest.mark.parametrize(("token", "name"), [("xoxb-1", "slack.com"), ("", "hooks.slack.com")])
def test_slack_is_called_by_what_it_is_asked_by(token: str, name: str) -> None:
    """The Web API's host with a token, the webhooks' without."""
    assert SlackChannel(token=token).provider == name
