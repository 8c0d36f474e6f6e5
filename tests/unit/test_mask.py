"""What is kept of a provider's answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.mask import LIMIT, mask

SECRETS = (
    "ada@example.org",
    "jürgen@bücher.example",
    '"ada l"@example.org',
    "https://hooks.slack.com/services/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",
    "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
    "bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
    "xoxb-263594206564-FGqddMF8t08v8N7Oq4i57vs1",
    "U024BE7LH",
    "-1001234567890",
    "+49 (30) 901820-0",
    "AAHdqTcvCHAvGWJxfSeofSAsOKPALDsawAAHdqTcvCHAvGWJx",
)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("around", ["550 {} rejected", "<{}>", "user {}, sorry", "{}"])
def test_addresses_and_secrets_do_not_survive(secret: str, around: str) -> None:
    """What names a person or opens a door is replaced, whatever stands around it."""
    masked = mask(around.format(secret))

    assert secret not in masked
    assert secret[2:-2] not in masked


@pytest.mark.parametrize(
    "text",
    [
        "550 5.1.1 unknown mailbox",
        "channel_not_found",
        "posting_to_general_channel_denied",
        "Too Many Requests: retry after 14",
        "Cannot connect to host mail.example port 587",
    ],
)
def test_what_helps_an_operator_stays(text: str) -> None:
    """Codes and words remain readable."""
    assert mask(text) == text


@given(st.text(max_size=1500), st.sampled_from(SECRETS), st.text(max_size=1500))
def test_a_detail_is_one_short_line_whatever_came(before: str, secret: str, after: str) -> None:
    """No answer can break a log line or flood the ledger"""
    masked = mask(f"{before} {secret} {after}")

    assert len(masked) <= LIMIT
    assert len(masked.splitlines()) <= 1
    assert secret not in masked


@given(st.text(min_size=8, max_size=60), st.text(max_size=200))
def test_a_named_secret_is_replaced_wherever_it_stands(secret: str, around: str) -> None:
    """A token we know is never shown, even where no rule would know it."""
    assert secret not in mask(f"{around}{secret}{around}", secret).replace("<secret>", "|")
