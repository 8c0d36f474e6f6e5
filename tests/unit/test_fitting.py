"""Shortening without damage, and which links are safe."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.channels.fitting import clean, one_line, safe_link, seen_units, shorten, shorten_html, shorten_mrkdwn

HTML = st.lists(
    st.one_of(
        st.sampled_from(
            ["<b>", "</b>", "<i>", "</i>", '<a href="https://x.example/?a=1&amp;b=2">', "</a>", "&lt;", "&#128512;"]
        ),
        st.text("ab \n😀é", max_size=8),
    ),
    max_size=60,
).map("".join)


class Balance(HTMLParser):
    """Counts tags that were opened and not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass


@given(HTML, st.integers(min_value=2, max_value=60))
def test_shortened_html_is_within_the_limit_and_closed(text: str, limit: int) -> None:
    """No tag or entity is cut in two, and what was opened is closed."""
    short = shorten_html(text, limit)

    assert seen_units(short) <= limit
    assert len(unescape(re.sub("<[^<>]*>", "", short)).encode("utf-16-le")) // 2 <= limit
    if short != text:
        balance = Balance()
        balance.feed(short)
        balance.close()
        assert balance.open == []
        assert not re.search(r"<[^>]*$|&[#\w]*…", short)


@given(HTML, st.integers(min_value=2, max_value=60))
def test_shortened_mrkdwn_keeps_entities_whole(text: str, limit: int) -> None:
    """`&amp;` never becomes `&am`, and the limit counts what is sent."""
    short = shorten_mrkdwn(text, limit)

    assert len(short) <= limit
    assert not re.search(r"<[^>]*…|&[#\w]*…", short)


def test_a_text_is_cut_at_a_word() -> None:
    """The reader sees whole words and an ellipsis."""
    assert shorten("one two three four", 12) == "one two…"
    assert shorten_mrkdwn("one two three four", 12) == "one two…"
    assert shorten_html("<b>one two three four</b>", 12) == "<b>one two…</b>"
    assert shorten("abcdefgh", 5) == "abcd…"
    assert shorten("abc", 3) == "abc"


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "//evil.example",
        "/path",
        "https://",
        "https:///x",
        "http://a b",
        'https://x.example/"onclick="',
        "https://x.example/<script>",
        "https://x.example/\r\nX: y",
        "https://x.example\\@evil.example",
        "https://x.example/\0",
        "https://x.example/" + "a" * 3000,
        "",
    ],
)
def test_a_link_that_could_do_harm_is_dropped(link: str) -> None:
    """Only http, https and mailto ever become something to click."""
    assert safe_link(link) == ""


@pytest.mark.parametrize("link", ["https://x.example", "HTTP://x.example/a?b=c&d=é#e", "mailto:ada@example.org"])
def test_a_good_link_stays_as_it_is(link: str) -> None:
    """Nothing is rewritten."""
    assert safe_link(link) == link


@given(st.text())
def test_controls_and_surrogates_never_pass(text: str) -> None:
    """CR, LF and NUL cannot stand in a line; lone surrogates cannot stand anywhere."""
    assert not re.search(r"[\x00-\x1f\x7f]", one_line(text))
    assert "\0" not in clean(text)
    (one_line(text) + clean(text)).encode()


def test_emoji_sequences_stay_whole() -> None:
    """A joined emoji and a right-to-left name are not taken apart."""
    assert one_line("👩‍💻 نگار‌") == "👩‍💻 نگار‌"
