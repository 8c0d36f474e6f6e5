"""What the smallest media promise: no more than they show, the link whole, and no character cut in two."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.channels.base import Target
from worker.channels.fitting import shorten
from worker.channels.short_media import PUSH_BODY_LIMIT, PUSH_TITLE_LIMIT, fit_push, fit_sms
from worker.core import gsm7
from worker.core.content import Content

DELIVERY = UUID("6b616261-7200-5000-8000-000000000001")
TARGET = Target(DELIVERY, "", "Ada", "shipment.updated", datetime(2026, 11, 21, tzinfo=UTC))
LINK = "https://shop.test/orders/A1?track=1"
WORDS = "Your order A1 is on its way to you and will be there before noon, so please be at home. "
TEXTS = st.text(st.characters(), max_size=600) | st.text("a é€😀\u2019 \n[~]漢\u200d&;", max_size=600)
LINKS = st.sampled_from(
    ["", LINK, "mailto:a@b.test", "https://a.test/" + "x" * 440, "https://a.test/" + "漢" * 150, "x:y"]
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 152, 3),  # the escape and its character stay together
        ("漢" * 70, 1),
        ("漢" * 71, 2),
        ("漢" * 134, 2),
        ("漢" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 67, 3),  # 134 units, but a pair is not split at 67
    ],
)
def test_segments_are_counted_as_they_are_charged(text: str, count: int) -> None:
    """Nobody is surprised by the provider's bill."""
    assert gsm7.segments(text) == count


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "We couldn\u2019t collect \u201cRp 150.000\u201d \u2013 try again\u2026",
            'We couldn\'t collect "Rp 150.000" - try again...',
        ),
        ("📦 Order shipped ✈️", "Order shipped"),
        ("José, Łukasz, Tomás und Jürgen: già fatto", "José, Lukasz, Tomas und Jürgen: già fatto"),
        ("100\xa0€ [ok]", "100 € [ok]"),
        ("\ufb01ne ½ \uff21\uff22", "fine 1/2 AB"),
        ("订单已发货 📦", "订单已发货 📦"),
        ("🔥🔥", "🔥🔥"),
        ("Привет", "Привет"),
    ],
)
def test_words_are_said_in_the_cheaper_alphabet_where_they_can_be(text: str, said: str) -> None:
    """A curly quote or an emoji does not double the price of a message; another script stays as it is."""
    assert gsm7.in_gsm7(text) == said


def test_an_sms_is_one_line_with_title_and_link() -> None:
    """One glance says what happened and where to go."""
    sms = fit_sms(Content("Order\u2019s\n on its  way", "More words", LINK, "Track"))

    assert (sms.text, sms.alphabet, sms.segments) == (f"Order's on its way {LINK}", "gsm7", 1)


def test_an_amount_holds_together_and_costs_no_other_alphabet() -> None:
    """Its no-break space is a plain one in an SMS, and a push is not cut there."""
    content = Content("Pembayaran Rp\xa0150.000 gagal", "Pembayaran sebesar Rp\xa0150.000 belum masuk. " * 5)

    sms, push = fit_sms(content), fit_push(content, TARGET)

    assert (sms.text, sms.alphabet) == ("Pembayaran Rp 150.000 gagal", "gsm7")
    assert push.title == content.title
    for limit in range(30, 60):
        assert not shorten(content.body, limit).endswith("Rp\N{HORIZONTAL ELLIPSIS}")


def test_a_long_sms_is_cut_at_a_word_and_keeps_its_link() -> None:
    """What does not fit three segments ends in an ellipsis, and the link still opens."""
    sms = fit_sms(Content(WORDS * 10, "", LINK, "Track"))

    assert sms.segments == 3
    assert sms.text.endswith(f"... {LINK}")
    assert sms.text.removesuffix(f"... {LINK}").split()[-1] in WORDS.split()
    assert fit_sms(Content("漢字 " * 200, "")).text.endswith("字\u2026")


def test_a_link_that_leaves_no_room_for_words_is_left_out() -> None:
    """Half a link leads nowhere, and a link without a word is nothing one would open."""
    sms = fit_sms(Content("Hello", "", "https://a.test/" + "x" * 440, "Go"))

    assert (sms.text, sms.segments) == ("Hello", 1)


@given(title=TEXTS, link=LINKS)
def test_no_sms_is_longer_than_three_segments(title: str, link: str) -> None:
    """Whatever the text, the price of a message is bounded, and each of its characters whole."""
    sms = fit_sms(Content(title or "t", "", link))

    assert 1 <= gsm7.segments(sms.text) == sms.segments <= 3
    assert (sms.alphabet == "gsm7") == gsm7.is_gsm7(sms.text)
    assert "\n" not in sms.text
    sms.text.encode("utf-16-le")
    if link == LINK:
        assert sms.text.endswith(f" {LINK}")


@given(text=TEXTS)
def test_a_text_without_words_of_another_script_is_never_dearer_afterwards(text: str) -> None:
    """Saying it otherwise saves money or changes nothing; it never leaves nothing behind."""
    said = gsm7.in_gsm7(text)

    assert said == text or (said and gsm7.is_gsm7(said))


@given(title=TEXTS, body=TEXTS, link=LINKS)
def test_a_web_push_is_never_longer_than_a_phone_shows(title: str, body: str, link: str) -> None:
    """Title and body are cut by us, at a word, and not by the phone in the middle of one."""
    push = fit_push(Content(title or "t", body, link), TARGET)

    assert len(push.title) <= PUSH_TITLE_LIMIT
    assert len(push.body) <= PUSH_BODY_LIMIT
    assert push.url in ("", link)
    assert push.url == "" or push.url.startswith("http")
    (push.title + push.body).encode("utf-16-le")


def test_a_web_push_cuts_at_a_word_and_replaces_itself() -> None:
    """A repeated send shows once, and no word is cut."""
    push = fit_push(Content(WORDS, WORDS * 3, LINK, "Track"), TARGET)

    assert push.title == "Your order A1 is on its way to you and will be\u2026"
    assert push.body.endswith("\u2026")
    assert push.body[:-1].split()[-1] in WORDS.split()
    assert (push.tag, push.url) == (DELIVERY.hex, LINK)


def test_a_web_push_about_the_same_thing_replaces_the_one_before() -> None:
    """The parcel's newest place is what the phone shows, not each place it has been."""
    about = UUID(int=7)

    push = fit_push(Content(WORDS, WORDS, LINK, "Track"), TARGET._replace(update_id=about))

    assert push.tag == about.hex
