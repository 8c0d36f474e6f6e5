"""What is kept of an answer in which a provider repeats our message."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.mask import LIMIT, mask
from worker.core.repetition import EXPLAINING, mask_repeated

TOLD = (
    "Ada Lovelace <ada@example.org> Your payment failed. Dear Ada Lovelace, your card 4711 has expired. Code 483920,"
    " voucher A7X9, PIN 9902. The mailbox is full of offers. https://shop.example/o/ord-2026?token=swordfish"
    " Jürgen Straße 您的付款失败了"
)
EXPLANATIONS = (
    # Gmail, Exchange Online, Outlook.com, Postfix, Exim, Amazon SES, Spamhaus
    "550 5.1.1 The email account that you tried to reach does not exist",
    "552 5.2.2 The recipient's inbox is out of storage space and inactive",
    "550 5.4.1 Recipient address rejected: Access denied",
    "550 5.1.1 User unknown in virtual mailbox table",
    "550 5.7.26 Unauthenticated email is not accepted due to domain's DMARC policy",
    "550 5.7.1 Our system has detected that this message is likely unsolicited mail",
    "550 5.7.1 messages weren't sent. Please contact your provider since part of their network is on our block list",
    "451 4.7.1 Greylisting in action, please come back later",
    "452 4.2.2 Mailbox full",
    "454 4.7.0 Throttling failure: Maximum sending rate exceeded",
    "554 5.7.1 Service unavailable; Client host blocked using blocklist",
    "550 Unrouteable address",
    "550 relay not permitted",
    "535 5.7.8 Error: authentication failed",
    "552 5.3.4 Message size exceeds fixed limit",
    "421 4.7.0 Too many connections from your IP",
    # Telegram
    "400 Bad Request: chat not found",
    "400 Bad Request: message is too long",
    "400 Bad Request: message text is empty",
    "400 Bad Request: can't parse entities: unsupported start tag",
    "400 Bad Request: not enough rights to send text messages to the chat",
    "400 Bad Request: group chat was upgraded to a supergroup chat",
    "400 Bad Request: BUTTON_URL_INVALID",
    "400 Bad Request: PEER_ID_INVALID",
    "403 Forbidden: bot was blocked by the user",
    "403 Forbidden: user is deactivated",
    "403 Forbidden: bot can't initiate conversation with a user",
    "403 Forbidden: bot was kicked from the group chat",
    "429 Too Many Requests: retry after",
    # Slack
    *(
        f"200 {code}"
        for code in (
            "account_inactive", "action_prohibited", "channel_not_found", "ekm_access_denied", "fatal_error",
            "invalid_arguments", "invalid_auth", "invalid_blocks", "invalid_blocks_format", "invalid_payload",
            "is_archived", "message_limit_exceeded", "missing_scope", "missing_text_or_fallback_or_attachments",
            "msg_too_long", "no_permission", "no_service", "no_text", "not_allowed_token_type", "not_authed",
            "not_in_channel", "posting_to_general_channel_denied", "rate_limited", "restricted_action",
            "team_access_not_granted", "token_revoked", "too_many_attachments", "user_disabled", "user_not_found",
        )
    ),
    # Our own side of the wire
    "ServerDisconnectedError: Server disconnected",
    "ClientConnectorError: Cannot connect to host hooks.slack.example:443 ssl:default [Connection refused]",
    "connection lost",
    "timed out",
)  # fmt: skip


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("554 5.7.1 spam: Your payment failed", "554 5.7.1 spam: Your <text> failed"),
        ("550 no ADA LOVELACE here", "550 no <text> here"),
        ("550 5.1.1 Ada", "550 5.1.1 <text>"),
        ("550 4711 refused", "550 <text> refused"),
        ("554 PIN 9902", "554 <text>"),
        ("554 voucher A7X9 not wanted", "554 <text> not wanted"),
        ("554 no such user: lovelace", "554 no such user: <text>"),
        ("200 invalid_swordfish", "200 invalid_<text>"),
        ("400 wrong URL shop.example/o/ord-2026", "400 wrong URL <text>"),
        ("400 value=Ada%20Lovelace is bad", "400 value=<text> is bad"),
        ("400 code4711x is bad", "400 <text> is bad"),
        ('400 {"text":"Dear Ada Lovelace, your card\\nhas expired."}', '400 {"text":"<text> has expired."}'),
        ("400 J&#252;rgen J\\u00fcrgen JÜRGEN STRASSE unknown", "400 <text> unknown"),
        ("400 付款失败 refused", "400 <text> refused"),
        ("554 spam: dear ada love…", "554 spam: <text>"),
        ("554 spam: dear Ad…", "554 spam: <text>"),
        ("the mailbox is full, sorry", "<text>, sorry"),
    ],
)
def test_what_a_provider_repeats_of_our_text_is_not_kept(said: str, kept: str) -> None:
    """Whoever may read reasons learns the provider's words, and none of what the person was told."""
    assert mask_repeated(said, TOLD) == kept


@pytest.mark.parametrize("said", EXPLANATIONS)
def test_why_it_was_refused_stays_though_the_message_says_the_same_words(said: str) -> None:
    """A message may speak of full mailboxes and blocked users: its operator still reads that the mailbox is full."""
    told = " ".join(reversed(re.findall(r"[A-Za-z]+", " ".join(EXPLANATIONS))))

    assert mask_repeated(said, told) == said


def test_the_status_stays_though_the_message_says_the_same_number() -> None:
    """550 is a price somewhere, and 5.1.1 the version of something."""
    told = "550 points for 5 of 1, since version 5.1.1, from host mail.example"

    assert mask_repeated("550 5.1.1 No such user\n5.1.1 here", told) == "550 5.1.1 No such user 5.1.1 here"
    assert mask_repeated("550 4.7.1 at 5.1.1", told) == "550 4.7.1 at <text>"


def test_what_was_masked_before_stays_as_it_is() -> None:
    """The stand-ins are words too."""
    said = mask("550 5.1.1 <ada@example.org> and +49 30 9018200 at https://x.example: text unknown")

    assert mask_repeated(said, "address number text link") == said


WORDS = st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=12)
ASCII_WORDS = st.from_regex(r"[A-Za-z0-9]{1,10}", fullmatch=True)


@given(
    st.lists(WORDS | ASCII_WORDS, min_size=1, max_size=8),
    st.lists(st.sampled_from(sorted(EXPLAINING)), max_size=6),
    st.sampled_from([" ", "_", ": ", "\n", '","', "%20", "\\n", "/"]),
    st.randoms(use_true_random=False),
)
def test_no_word_of_the_message_survives_but_those_that_explain(
    told: list[str], explaining: list[str], between: str, chance: Random
) -> None:
    """Names, codes and numbers of a message are gone from an answer, whatever stands around them."""
    said = [*told, *explaining]
    chance.shuffle(said)

    kept = mask_repeated("550 5.1.1 " + between.join(said), " ".join(told))

    ours = {word.casefold() for word in told} - EXPLAINING
    words = re.findall(r"[^\W_]+", re.sub(r"<\w+>", " ", kept.removeprefix("550 5.1.1")).casefold())
    assert not ours.intersection(words)


@pytest.mark.parametrize(
    "half", [r"\ud83d", r"\ude00", r"\ude00\ud83d", r"\ud83d\ude00", r"\u0000", "%00%ff", "&#xd83d;"]
)
def test_what_an_escaped_text_hid_can_be_stored(half: str) -> None:
    """Half a character, or none, would fail the whole batch with which it is written to the ledger."""
    kept = mask_repeated(f"400 bad {half} text", "")

    assert "\0" not in kept
    assert kept.encode().startswith(b"400 bad ")


@given(st.text(max_size=600), st.text(max_size=600))
def test_an_answer_is_one_short_line_whatever_it_repeats(said: str, told: str) -> None:
    """What an escaped text hid from the mask cannot break a line of the log."""
    kept = mask_repeated(said, told)

    assert len(kept) <= LIMIT
    assert len(kept.splitlines()) <= 1
