"""How a mail looks: readable in both schemes, safe whatever the settings say, and easy to get fewer of."""

from __future__ import annotations

import email
import email.policy
import os
import re
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.channels.base import Target, Trimmings
from worker.channels.colours import AA, contrast, readable
from worker.channels.email import EmailChannel, Mail
from worker.channels.layout import Brand, palettes, preheader
from worker.core.content import Content
from worker.deployment import build_channels
from worker.errors import SettingsInvalid
from worker.settings import load_settings

DELIVERY = UUID("3f0c6a52-0f0e-4c6f-9a53-0b6c0b8f5d10")
SETTINGS_URL = "https://shop.example/notifications?for={person}&of={delivery}"
HOSTILE = "\"><script>alert('x')</script>&{title}"
COLOURS = st.from_regex(r"#[0-9a-f]{6}", fullmatch=True)


class Seen(HTMLParser):
    """What a reader of a page sees: its elements, and the text outside of what is hidden."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        if tag in {"style", "title"} or "display:none" in given.get("style", ""):
            self._hidden += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in {"style", "title", "div"} and self._hidden:
            self._hidden -= 1

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words += data


def mail(brand: Brand, target: Target | None = None, content: Content | None = None) -> tuple[dict[str, str], str, str]:
    """The headers, the text and the HTML of one mail."""
    content = content or Content("Payment failed", "Please pay.", "https://shop.example/pay", "Pay now")
    channel = EmailChannel("smtp://127.0.0.1", "Kabar <no-reply@kabar.example>", brand=brand)
    fitted = channel.fit((content, content), target or told())
    assert isinstance(fitted, Mail)
    message = email.message_from_bytes(fitted.data, policy=email.policy.SMTP)
    text, html = (part.get_content().replace("\r\n", "\n") for part in message.iter_parts())
    return dict(message.items()), text, html


def told(
    category: str = "billing",
    *,
    critical: bool = False,
    audience: str = "user",
    locale: str = "en",
    person_id: str = "ada/1 é",
    image: str = "",
) -> Target:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    return Target(
        DELIVERY, "ada@example.org", "Ada", "payment.failed", at, person_id, locale, category, critical, audience,
        Trimmings(image=image),
    )  # fmt: skip


@given(COLOURS)
def test_every_text_can_be_read_in_both_schemes_whatever_the_brands_colour(colour: str) -> None:
    """All text has the contrast that WCAG calls AA, and the button stands out from the card."""
    for palette in palettes(colour):
        on_card = [palette.heading, palette.text, palette.link]
        on_page = [palette.heading, palette.muted, palette.link]
        assert min(contrast(text, palette.card) for text in on_card) >= AA
        assert min(contrast(text, palette.page) for text in on_page) >= AA
        assert contrast(palette.label, palette.button) >= AA


def test_contrast_is_what_the_standard_says() -> None:
    """Known pairs: black on white, a grey that just passes and one that just fails."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert readable("#2457d6", "#ffffff") == "#2457d6"


def test_the_mail_is_drawn_in_the_palettes_that_were_measured() -> None:
    """The light colours stand at the elements, where no client drops them, and the dark ones in rules over them."""
    light, dark = palettes("#0f8a6d")

    _, _, html = mail(Brand("Rumah", "#0f8a6d", settings_url=SETTINGS_URL))

    rules, _, page = html.partition("</style>")
    colours = {name: getattr(light, name) for name in light.__slots__}
    assert [name for name, colour in colours.items() if colour not in page] == []
    darkened = rules.partition("@media (prefers-color-scheme:dark)")[2]
    wanted = {getattr(dark, name) for name in dark.__slots__} - {dark.button, dark.label}
    assert [colour for colour in wanted if f"{colour} !important" not in darkened] == []
    assert '<meta name="color-scheme" content="light dark">' in rules
    named = {name for _, given in Seen(html).tags for name in given.get("class", "").split()}
    assert set(re.findall(r"^\.([a-z]+) ", darkened, re.MULTILINE)) <= named


def test_every_picture_has_words_or_says_that_it_needs_none() -> None:
    """The logo is the product's name to whoever cannot see it; the picture only repeats the heading."""
    brand = Brand("Rumah", logo_url="https://shop.example/logo.png")

    _, _, html = mail(brand, told(image="https://shop.example/badge.png"))

    pictures = [given for tag, given in Seen(html).tags if tag == "img"]
    assert [(given["src"], given["alt"]) for given in pictures] == [
        ("https://shop.example/logo.png", "Rumah"),
        ("https://shop.example/badge.png", ""),
    ]


@pytest.mark.parametrize("image", ["javascript:alert(1)", "data:image/png;base64,AAAA", "/badge.png", "cid:1"])
def test_a_picture_from_anywhere_else_than_the_web_is_left_out(image: str) -> None:
    """The mail goes out without it."""
    _, _, html = mail(Brand(), told(image=image))

    assert "<img" not in html


def test_the_preheader_is_in_the_mail_and_not_on_it() -> None:
    """A list of mails shows how the body begins; the open mail shows it once."""
    body = "Please pay <now> & here. " * 20

    _, _, html = mail(Brand(), content=Content("Payment failed", body))

    hidden, _, shown = html.partition("</div>")
    beginning = preheader(body)
    assert beginning.startswith("Please pay &lt;now&gt; &amp; here. ")
    assert beginning.endswith("…")
    assert unescape(beginning) in unescape(hidden)
    assert unescape(beginning) not in unescape(shown)
    assert "Payment failed" not in Seen(hidden).words


def test_mail_that_may_be_refused_says_how_to_stop_it() -> None:
    """By a button of the mail program, by a link in either part; the ids in the address are its own."""
    url = f"https://shop.example/notifications?for=ada%2F1%20%C3%A9&of={DELIVERY}"

    headers, text, html = mail(Brand(settings_url=SETTINGS_URL))

    assert headers["List-Unsubscribe"] == f"<{url}>"
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert text.endswith(f"Change what you get, or unsubscribe:\n{url}\n")
    links = {given["href"] for tag, given in Seen(html).tags if tag == "a"}
    assert url in links
    assert "Change what you get, or unsubscribe" in Seen(html).words


def test_critical_mail_offers_no_unsubscribing() -> None:
    """Nobody may lose word of a failed payment by a click; the settings can still be reached."""
    headers, text, html = mail(Brand(settings_url=SETTINGS_URL), told(critical=True))

    assert not [name for name in headers if name.startswith("List-Unsubscribe")]
    assert "unsubscribe" not in f"{text}{html}".lower()
    assert "It's important, so it can't be switched off." in Seen(html).words
    assert "Notification settings" in Seen(html).words


def test_without_a_page_for_settings_the_mail_says_how_else() -> None:
    """No header that leads nowhere."""
    headers, text, html = mail(Brand("Rumah"))

    assert not [name for name in headers if name.startswith("List-Unsubscribe")]
    for words in (" ".join(text.split()), Seen(html).words):
        assert "To get fewer of these, change your notification settings in Rumah." in words


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (told(), "it's about your payments and membership at Rumah."),
        (told(locale="id"), "Kamu menerima ini karena menyangkut pembayaran dan membership kamu di Rumah."),
        (told(locale="id-ID", audience="admins"), "Kamu menerima ini karena kamu admin Rumah."),
        (told(audience="everyone"), "It went to everyone."),
        (told("a-products-own"), "you have an account at Rumah."),
        (told("a-products-own", locale="fr"), "you have an account at Rumah."),
    ],
)
def test_a_mail_says_why_it_came_in_the_readers_language(target: Target, said: str) -> None:
    """In both parts, and the page names its language to screen readers."""
    _, text, html = mail(Brand("Rumah"), target)

    assert said in " ".join(text.split())
    assert said in Seen(html).words
    assert f'<html lang="{target.locale}">' in html


def test_hostile_settings_stay_words() -> None:
    """Whatever stands in a brand, it opens no tag, no attribute and no header."""
    brand = Brand(HOSTILE, "#2457d6", "https://x.example/'%22?a=1&b=2", "https://x.example/?a='&b={person}")

    headers, _, html = mail(brand, told(person_id=f"{HOSTILE}\r\nBcc: eve@example.org"))

    seen = Seen(html)
    assert {tag for tag, _ in seen.tags} & {"script", "iframe"} == set()
    assert [given["alt"] for tag, given in seen.tags if tag == "img"] == [HOSTILE]
    assert {name for _, given in seen.tags for name in given if name.startswith("on")} == set()
    assert "Bcc" not in headers
    assert HOSTILE in seen.words


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KABAR_BRAND_NAME", " "),
        ("KABAR_BRAND_NAME", "two\nlines"),
        ("KABAR_BRAND_NAME", "x" * 61),
        ("KABAR_BRAND_COLOUR", "blue"),
        ("KABAR_BRAND_COLOUR", "#2457d6;background:url(x)"),
        ("KABAR_BRAND_COLOUR", "#2457d6\n"),
        ("KABAR_BRAND_LOGO_URL", "data:image/png;base64,AAAA"),
        ("KABAR_BRAND_LOGO_URL", "/logo.png"),
        ("KABAR_BRAND_LOGO_URL", 'https://x.example/"><script>'),
        ("KABAR_SETTINGS_URL", "javascript:alert(1)"),
        ("KABAR_SETTINGS_URL", "https://x.example/{token}"),
        ("KABAR_SETTINGS_URL", "https://{person}.example/"),
        ("KABAR_SETTINGS_URL", "https://x.example/\r\nBcc:eve@example.org"),
        ("KABAR_SETTINGS_URL", "https://x.example/é"),
        ("KABAR_SETTINGS_URL", "https://x.example/" + "x" * 500),
    ],
)
def test_a_brand_that_no_mail_could_show_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """And says which setting it is."""
    _set(monkeypatch, **{name: value})

    with pytest.raises(SettingsInvalid, match=f"^{name}: "):
        load_settings()


async def test_the_settings_reach_the_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name, logo, colour and address, as they were set."""
    _set(
        monkeypatch,
        KABAR_CHANNELS="email",
        KABAR_SMTP_URL="smtp://127.0.0.1",
        KABAR_EMAIL_FROM="Rumah <no-reply@rumah.example>",
        KABAR_BRAND_NAME="Rumah",
        KABAR_BRAND_COLOUR="#0F8A6D",
        KABAR_BRAND_LOGO_URL="https://rumah.example/logo.png?v=2",
        KABAR_SETTINGS_URL="https://rumah.example/n/{person}/{delivery}#settings",
    )

    (channel,) = build_channels(load_settings())["email"]
    content = Content("Payment failed", "Please pay.", "https://rumah.example/pay", "Pay now")
    fitted = channel.fit((content, content), told(person_id="p-1"))

    assert isinstance(fitted, Mail)
    message = email.message_from_bytes(fitted.data, policy=email.policy.SMTP)
    html = message.get_payload(1).get_content()  # type: ignore[union-attr]  # of two parts
    assert message["List-Unsubscribe"] == f"<https://rumah.example/n/p-1/{DELIVERY}#settings>"
    assert 'src="https://rumah.example/logo.png?v=2"' in html
    assert palettes("#0F8A6D")[0].button in html
    assert "<title>Rumah</title>" in html


def _set(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name in [name for name in os.environ if name.upper().startswith("KABAR_")]:
        monkeypatch.delenv(name)
    needed = {"KABAR_AMQP_URL": "amqp://localhost/", "KABAR_DATABASE_URL": "postgresql://localhost/kabar"}
    for name, value in (needed | variables).items():
        monkeypatch.setenv(name, value)
