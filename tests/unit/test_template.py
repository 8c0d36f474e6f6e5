"""What texts promise: the right words in every medium, whatever the values hold."""

from __future__ import annotations

import html
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from worker.core.content import Content, Markup
from worker.core.template import EventView, PersonView, TextKey, Texts, Unrenderable
from worker.core.text_source import Source
from worker.errors import TemplateInvalid
from worker.texts import BUILT_IN, load_texts

ANI = PersonView("Ani", "id", "Asia/Jakarta")
SHIPPED = EventView("order.shipped", datetime(2026, 11, 12, 7, 5, tzinfo=UTC))
BUILT_IN_TEXTS = load_texts(BUILT_IN)

HOSTILE = [
    "</p><script>alert(1)</script>",
    "<!channel> <@U1> <https://evil.test|click>",
    "*_[]()~`>#+-=|{}.!**b**",
    "[click](https://evil.test)",
    "{{ 7*7 }} {% if 1 %} {# x #}",
    "\u202egnp.exe\u200f\u2066",
    "a\x1eb\x1ec\x1ed\x1ee",
    "\x1djavascript:alert(1)\x1dlabel\x1d",
    "nul\x00 bell\x07 del\x7f nel\x85",
    "line\r\nBcc: x@y.test\rmore\u2028and\u2029more",
    "&lt;b&gt; &#x27; &quot; &amp;",
    "' onmouseover='x \" onclick=\"y",
    "\ud800 half \udfff",
    "\U000f0000\U000f0001",
    "👩\u200d💻 İstanbul ﷽",
    "x" * 10_000,
    "<" * 10_000,
    "\x1e" * 10_000,
    "\n" * 1000,
    "",
]


def text(source: str, *, locale: str = "en", channel: str = "") -> Source:
    return Source(f"t/user/{locale}{channel and '.' + channel}.txt", "order.shipped", "user", locale, channel, source)


def answer(
    source: str, markup: Markup = Markup.PLAIN, *, locale: str = "en", **values: JsonValue
) -> Content | Unrenderable:
    sources = [text(source)] + ([text(source, locale=locale)] if locale != "en" else [])
    key = TextKey("order.shipped", "user", locale)
    return Texts(sources).render(key, markup, "email", values=values, person=ANI, event=SHIPPED)


def content(source: str, markup: Markup = Markup.PLAIN, *, locale: str = "en", **values: JsonValue) -> Content:
    found = answer(source, markup, locale=locale, **values)
    assert isinstance(found, Content), found
    return found


def body(source: str, markup: Markup = Markup.PLAIN, **values: JsonValue) -> str:
    return content(f"title: t\n\n{source}", markup, locale="en", **values).body


def problem(source: str) -> TemplateInvalid:
    with pytest.raises(TemplateInvalid) as caught:
        Texts([text(source)])
    return caught.value


# -- what a text becomes ------------------------------------------------------------------------------------------


def test_one_text_gives_title_link_action_and_body() -> None:
    """A text's four parts arrive as four parts."""
    source = "title: Order {{ code }}\nlink: {{ url }}\naction: Track it\n\nIt is on its way."

    found = content(source, code="A1", url="https://shop.test/?a=1&b=2")

    assert found == Content("Order A1", "It is on its way.", "https://shop.test/?a=1&b=2", "Track it")


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        (Markup.PLAIN, "Dear A & B,\nsee map (https://m.test/?a=1&b=2).\n\nBring:\n- a <pen>\n- food\n\nBye"),
        (
            Markup.HTML,
            (
                '<p>Dear <strong>A &amp; B</strong>,<br>see <a href="https://m.test/?a=1&amp;b=2">map</a>.</p>'
                "<p>Bring:</p><ul><li>a &lt;pen&gt;</li><li>food</li></ul><p>Bye</p>"
            ),
        ),
        (
            Markup.TELEGRAM,
            (
                'Dear <b>A &amp; B</b>,\nsee <a href="https://m.test/?a=1&amp;b=2">map</a>.'
                "\n\nBring:\n• a &lt;pen&gt;\n• food\n\nBye"
            ),
        ),
        (
            Markup.MRKDWN,
            "Dear *A &amp; B*,\nsee <https://m.test/?a=1&amp;b=2|map>.\n\nBring:\n• a &lt;pen&gt;\n• food\n\nBye",
        ),
    ],
)
def test_the_neutral_markup_is_written_in_each_medium_s_own(markup: Markup, expected: str) -> None:
    """One body reads right in every medium: bold, links, lists, paragraphs, line breaks."""
    source = "Dear **A & B**,\nsee [map](https://m.test/?a=1&b=2).\n\nBring:\n- a <pen>\n- {{ what }}\n\n\n\nBye\n"

    assert body(source, markup, what="food") == expected


def test_bold_and_links_may_hold_values_and_each_other() -> None:
    """Markup around a value works, and the value inside stays literal."""
    source = "**[see **{{ name }}**](https://x.test/{{ code }})** **{{ name }}**"

    found = body(source, Markup.HTML, name="<A>", code="7")

    assert '<a href="https://x.test/7">see' in found
    assert found.endswith("<strong>&lt;A&gt;</strong></p>")


def test_a_condition_that_fails_leaves_no_trace() -> None:
    """A paragraph, line or item that is not said leaves no gap, no empty element and no bullet."""
    source = (
        "A\n{% if no %}\nB\n{% endif %}\nC\n\n{% if no %}\nD\n\nE\n{% endif %}\n\n{% if no %}\n- x\n{% endif %}\n\nF"
    )

    assert body(source, Markup.HTML, no=None) == "<p>A<br>C</p><p>F</p>"
    assert body(source, Markup.PLAIN, no=None) == "A\nC\n\nF"
    assert body(source, Markup.HTML, no="y") == "<p>A<br>B<br>C</p><p>D</p><p>E</p><ul><li>x</li></ul><p>F</p>"
    assert body(source, Markup.TELEGRAM, no="y") == "A\nB\nC\n\nD\n\nE\n\n• x\n\nF"


def test_a_loop_makes_one_list() -> None:
    """Repeated items stand in one list, after the words that introduce them."""
    source = "Platforms:\n{% for p in platforms %}\n- {{ p }}\n{% endfor %}\nGood luck"

    found = {markup: body(source, markup, platforms=["<A>", "B"]) for markup in Markup}

    assert found[Markup.PLAIN] == "Platforms:\n- <A>\n- B\nGood luck"
    assert found[Markup.HTML] == "<p>Platforms:</p><ul><li>&lt;A&gt;</li><li>B</li></ul><p>Good luck</p>"
    assert found[Markup.TELEGRAM] == found[Markup.MRKDWN] == "Platforms:\n• &lt;A&gt;\n• B\nGood luck"


@pytest.mark.parametrize("end", ["{% endif %}", "{% endif %}\n{% endif %}"])
def test_a_loop_beside_the_end_of_a_condition_makes_one_list(end: str) -> None:
    """What begins above the loop ends around the list, and does not tear it apart."""
    begin = "{% if urgent %}\n" * end.count("endif")
    source = f"title: t\n\n{begin}On:\n\n{{% for one in platforms %}}\n- {{{{ one }}}}\n{{% endfor %}}\n{end}\n\nBye"

    said = content(source, platforms=["Spotify", "TIDAL"], urgent=True)
    page = content(source, Markup.HTML, platforms=["Spotify", "TIDAL"], urgent=True)

    assert said.body == "On:\n\n- Spotify\n- TIDAL\n\nBye"
    assert page.body == "<p>On:</p><ul><li>Spotify</li><li>TIDAL</li></ul><p>Bye</p>"
    assert content(source, platforms=["Spotify"], urgent=False).body == "Bye"


def test_line_breaks_in_a_value_survive_in_every_medium() -> None:
    """A message that a person typed in several lines is read in several lines."""
    assert body("{{ m }}", Markup.PLAIN, m="a\r\n\r\nb\rc") == "a\n\nb\nc"
    assert body("{{ m }}", Markup.HTML, m="a\r\n\r\nb\rc") == "<p>a<br><br>b<br>c</p>"


def test_an_absent_value_is_false_and_prints_nothing() -> None:
    """Nobody ever reads 'None'."""
    assert body("{% if url %}yes{% else %}no{% endif %}[{{ url }}]", url=None) == "no[]"
    assert body("{{ xs|join(', ') }}", xs=["a", None]) == "a,"
    assert body("{{ url|default('none yet') }}{{ zero|default('x') }}", url=None, zero=0) == "none yet0"


def test_a_channel_s_own_wording_is_used_on_that_channel_only() -> None:
    """Slack may be told in other words than the rest."""
    texts = Texts([text("title: all\n"), text("title: slack\n", channel="slack")])
    key = TextKey("order.shipped", "user", "en")

    said = [
        texts.render(key, Markup.MRKDWN, channel, values={}, person=ANI, event=SHIPPED)
        for channel in ("slack", "email")
    ]

    assert [found.title for found in said if isinstance(found, Content)] == ["slack", "all"]


def test_the_later_of_two_sources_holds() -> None:
    """A deployment can replace a built-in text by its own."""
    texts = Texts([text("title: built in\n"), text("title: ours\n")])

    found = texts.render(TextKey("order.shipped", "user", "en"), Markup.PLAIN, "", values={}, person=ANI, event=SHIPPED)

    assert found == Content("ours", "")


def test_the_locale_falls_back_to_the_language_and_then_to_english() -> None:
    """Everybody is told in the nearest language there is."""
    texts = Texts([text("title: e\n"), text("title: i\n", locale="id"), text("title: p\n", locale="pt-BR")])

    chosen = {
        wanted: texts.locale_for("order.shipped", "user", wanted)
        for wanted in ("id", "id-ID", "ID_id", "pt-br", "pt_BR", "pt", "fr", "", "en-GB")
    }

    assert chosen == {
        "id": "id", "id-ID": "id", "ID_id": "id", "pt-br": "pt-BR", "pt_BR": "pt-BR",
        "pt": "en", "fr": "en", "": "en", "en-GB": "en",
    }  # fmt: skip
    assert texts.locale_for("nothing", "user", "id") == "en"
    assert texts.has("order.shipped", "user")
    assert not texts.has("order.shipped", "admins")


def test_the_person_and_the_event_can_be_named() -> None:
    """A text can greet the person and say when it happened, by the person's own clock."""
    source = "{{ person.name }} {{ person.locale }} {{ event.type }} {{ event.time|datetime }}"

    assert body(source) == "Ani id order.shipped 12 Nov 2026, 14:05 WIB"


def test_texts_tell_which_fields_they_use() -> None:
    """Texts can be compared with the payload's model before any event arrives."""
    texts = Texts(
        [
            text("title: {{ code }}\n\n{% for p in parts %}{{ p.name }}{{ loop.index }}{% endfor %}"),
            text("title: {{ person.name }}\n\n{% if url %}x{% endif %}", channel="slack"),
        ]
    )

    assert texts.fields("order.shipped", "user") == {"code", "parts", "url"}


def test_texts_can_be_shared_between_threads() -> None:
    """Rendering at the same time mixes nobody's values."""
    texts = Texts([text("title: {{ a }}\n\n{{ a }}{{ a|default('x') }}")])

    def say(number: int) -> bool:
        found = texts.render(
            TextKey("order.shipped", "user", "en"),
            list(Markup)[number % 4],
            "",
            values={"a": str(number)},
            person=ANI,
            event=SHIPPED,
        )
        return found in (
            Content(str(number), f"{number}{number}"),
            Content(str(number), f"<p>{number}{number}</p>"),
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(say, range(2000)))


# -- values that mean harm ----------------------------------------------------------------------------------------

EVERYWHERE = (
    "title: T {{ v }}\nlink: https://x.test/\naction: A {{ v }}\n\n"
    "Hi {{ v }} **{{ v }}** [{{ v }}](https://x.test/a)\n\n- {{ v }}\n"
)
FIXED = Texts([text(EVERYWHERE)])


class _Tags(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[object] = []
        self.words = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "br":  # a value's own line breaks
            self.tags.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(tag)

    def handle_decl(self, decl: str) -> None:
        self.tags.append(decl)

    def handle_comment(self, data: str) -> None:
        self.tags.append(data)

    def handle_data(self, data: str) -> None:
        self.words += data


def said(value: JsonValue, markup: Markup) -> Content:
    found = FIXED.render(
        TextKey("order.shipped", "user", "en"),
        markup,
        "email",
        values={"v": value},
        person=ANI,
        event=SHIPPED,
    )
    assert isinstance(found, Content), found
    return found


def assert_harmless(value: str, markup: Markup) -> None:
    found = said(value, markup)
    quiet = said("quiet", markup)
    for line in (found.title, found.action):
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", line)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", found.body)
    assert found.title.startswith("T")
    assert found.action.startswith("A")
    assert found.link == quiet.link == "https://x.test/"
    found.body.encode()
    if markup in (Markup.HTML, Markup.TELEGRAM):
        for part, quiet_part in ((found.title, quiet.title), (found.body, quiet.body)):
            assert _Tags(part).tags == _Tags(quiet_part).tags
            assert not re.search(r"&(?!amp;|lt;|gt;|quot;|#x27;|#x2f;)", part)
    if markup is Markup.MRKDWN:
        for part in (found.title, found.action, found.body.replace("<https://x.test/a|", "", 1)):
            assert "<" not in part
            assert not re.search(r"&(?!amp;|lt;|gt;)", part)
    if markup is Markup.PLAIN and value.isalnum():
        assert value in found.body


@pytest.mark.parametrize("markup", Markup)
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value[:20]))
def test_a_hostile_value_adds_no_tag_no_entity_and_no_field(value: str, markup: Markup) -> None:
    """What a user typed is text in every medium, never markup."""
    assert_harmless(value, markup)


@given(value=st.text(st.characters(), max_size=200), markup=st.sampled_from(Markup))
def test_no_value_can_add_a_tag_an_entity_or_a_field(value: str, markup: Markup) -> None:
    """Whatever the value, the message keeps the shape its author gave it."""
    assert_harmless(value, markup)


@given(value=st.text("<>&\"'/|*_[]()!{}%#\x1d\x1e\x00\r\n\u2028 abx;:.", max_size=60), markup=st.sampled_from(Markup))
def test_no_mixture_of_special_characters_can_add_a_tag_an_entity_or_a_field(value: str, markup: Markup) -> None:
    """Even a value made of nothing but markup stays text."""
    assert_harmless(value, markup)


@pytest.mark.parametrize("markup", [Markup.HTML, Markup.TELEGRAM, Markup.MRKDWN])
@pytest.mark.parametrize("value", ["Tom & \"Jerry\" <'/'>", "&lt;b&gt; &quot; &#x27; &#x2f;", "{{ 7*7 }}"])
def test_a_person_reads_exactly_what_the_value_says(value: str, markup: Markup) -> None:
    """Escaping is undone by the reader's program and loses nothing, entities in the value included."""
    found = body("{{ v }}", markup, v=value)

    assert html.unescape(found.removeprefix("<p>").removesuffix("</p>")) == value
    if markup is Markup.MRKDWN:
        assert found == html.escape(value, quote=False)


@pytest.mark.parametrize("holder", [["<b>\x1e"], {"<b>\x1e": "<b>\x1e"}, {"a": ["<b>\x1e", None]}, 10**60, 1.5, True])
def test_lists_objects_and_numbers_are_as_harmless_as_strings(holder: JsonValue) -> None:
    """A value's type opens no way around escaping."""
    found = content("title: {{ v }}\n\n{{ v }}", Markup.HTML, v=holder)

    assert "<b>" not in found.title + found.body
    assert "\x1e" not in found.title + found.body


def test_a_value_nested_without_end_is_cut() -> None:
    """A payload built to exhaust the stack costs nothing."""
    nested: JsonValue = "x"
    for _ in range(sys.getrecursionlimit() * 2):
        nested = [nested]

    assert body("{{ v }}", v=nested) == "[[[[[[[[['']]]]]]]]]"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\x00script:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "//evil.test",
        "/path",
        "evil.test",
        "https:///x",
        "https://",
        "http:\\\\evil.test",
        "https://a b.test",
        "https://a.test/\x00",
        "https://a.test/\nSet-Cookie: x",
        "https://a\u202e.test",
        "https://a\x1e.test",
        'https://a.test/"onclick="x',
        "https://a.test/<script>",
        "https://a.test/" + "x" * 3000,
        "",
        "mailto:",
    ],
)
@pytest.mark.parametrize("markup", Markup)
def test_a_link_that_is_not_web_or_mail_is_dropped_with_its_action(url: str, markup: Markup) -> None:
    """No button and no link runs a script, reads a file or forges a header."""
    source = "title: t\nlink: {{ url }}\naction: Go\n\n[here]({{ url }}) [there](https://x.test/{{ part }})"

    found = content(source, markup, url=url, part="\x00" + url)

    assert (found.link, found.action) == ("", "")
    assert found.body in ("here there", "<p>here there</p>")


@pytest.mark.parametrize(
    "url", ["http://a.test", "https://a.test:8/p?q=1&r='2'#f|g", "HTTPS://A.TEST/", "mailto:a@b.test"]
)
@pytest.mark.parametrize("markup", Markup)
def test_a_good_link_stays_as_it_is_in_every_markup(url: str, markup: Markup) -> None:
    """The URL that was published is the URL that opens."""
    found = content("title: t\nlink:  {{ url }} \naction: Go\n\n[here]({{ url }})", markup, url=url)

    assert (found.link, found.action) == (url, "Go")
    inline = {
        Markup.PLAIN: f"here ({url})",
        Markup.HTML: f'<p><a href="{html.escape(url)}">here</a></p>',
        Markup.TELEGRAM: f'<a href="{html.escape(url)}">here</a>',
        Markup.MRKDWN: f"<{html.escape(url, quote=False).replace('|', '%7C')}|here>",
    }
    assert found.body == inline[markup]


def test_a_link_without_a_label_shows_itself() -> None:
    """A link is never invisible."""
    source = "[{{ v }}](https://x.test/?a&b)"

    found = {markup: body(source, markup, v="\x00") for markup in Markup}

    assert found[Markup.PLAIN] == "https://x.test/?a&b"
    assert found[Markup.TELEGRAM] == '<a href="https://x.test/?a&amp;b">https://x.test/?a&amp;b</a>'
    assert found[Markup.MRKDWN] == "<https://x.test/?a&amp;b|https://x.test/?a&amp;b>"


def test_an_empty_action_is_labelled_by_its_link() -> None:
    """A button is never blank."""
    found = content("title: t\nlink: {{ u }}\naction: {{ a }}\n", Markup.HTML, u="https://x.test/?a&b", a="\x00")

    assert found.action == "https://x.test/?a&amp;b"


@pytest.mark.parametrize("value", ["", " ", "\n\r\t", "\x1e\x00", "\u202e", None])
def test_a_title_is_never_empty(value: str | None) -> None:
    """A message always says at least what kind it is."""
    assert content("title: {{ v }}\n", v=value).title == "order.shipped"


# -- what cannot be said ------------------------------------------------------------------------------------------


def test_an_unknown_variable_is_named() -> None:
    """Who looks for the cause finds the text and the variable, and no value."""
    assert answer("title: t\n\n{{ oops }} {{ secret }}", secret="s3cret") == Unrenderable(
        "variable_unknown", "t/user/en.txt, line 3: oops"
    )
    assert answer("title: t\n\n{{ item.oops }}", item={"a": "s3cret"}) == Unrenderable(
        "variable_unknown", "t/user/en.txt, line 3: item.oops"
    )


def test_a_text_that_would_run_for_ever_is_stopped() -> None:
    """A text cannot hold up a courier."""
    source = "title: t\n\n{% for a in xs %}{% for b in xs %}{{ b }}{% endfor %}{% endfor %}"

    found = answer(source, xs=["x"] * 1000)

    assert isinstance(found, Unrenderable)
    assert found.reason == "fuel_spent"


def test_what_fails_while_rendering_is_told_without_the_value() -> None:
    """A failure's detail can be logged: it quotes the text, never the payload."""
    found = answer("title: t\n\n{{ amount|round }}", amount="s3cret")

    assert isinstance(found, Unrenderable)
    assert found.reason == "template_failed"
    assert "amount" in found.detail or "round" in found.detail
    assert "s3cret" not in found.detail


def test_a_missing_text_is_an_answer_and_no_exception() -> None:
    """An event type without a text for this audience fails by itself only."""
    found = Texts([]).render(TextKey("a.b", "user", "en"), Markup.PLAIN, "", values={}, person=ANI, event=SHIPPED)

    assert found == Unrenderable("text_missing", "a.b/user/en")


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("", 1),
        ("\nbody", 1),
        ("title:\n\nbody", 1),
        ("titel: t\n\nbody", 1),
        ("title: t\ntitle: u\n\nbody", 2),
        ("title: t\nbody without a blank line\n", 2),
        ("title: t\nlink: https://x.test\n", 1),
        ("title: t\n\na\n{{ b\n", 4),
        ("title: t\n\n{{ b }}{% if\n", 3),
        ("title: t\n\na\n\n{{ 1 + }}", 5),
        ("title: {% if a %}t\n\n{% endif %}", 1),
        ("title: t\n\n{% if a %}\nx", 3),
        ("title: t\n\nx {% if a %}\n\ny {% endif %}", 3),
        ("title: t\n\nx\ny {% if a %}z\n{% endif %}", 4),
        ("title: t\n\n{{ person.nme }}", 3),
        ("title: t\n\n\n{{ event }}", 4),
        ("title: t\n\n[x](javascript:x)", 3),
        ("title: t\n\n[x]()", 3),
        ("title: t\x1e\n\nx", 1),
        ("title: t\n\nx\n\U000f0000", 4),
        ("title: t\n\n\u202e", 3),
    ],
)
def test_a_text_that_cannot_be_used_is_refused_with_path_line_and_remedy(source: str, line: int) -> None:
    """Who wrote a text wrong is told where, and what to write instead, before any event arrives."""
    found = problem(source)

    assert (found.path, found.line) == ("t/user/en.txt", line)
    assert found.what
    assert found.remedy
    assert "t/user/en.txt" in str(found)


@pytest.mark.parametrize(
    "tag",
    [
        "{{ a|safe }}",
        "{{ a|escape }}",
        "{{ a|tojson }}",
        "{{ a | safe }}",
        "{{ 'x'|replace('a', b) }}",
        "{% autoescape false %}{{ a }}{% endautoescape %}",
        "{% set x = a ~ a %}",
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{% macro m() %}{% endmacro %}",
        "{% raw %}{% endraw %}",
        "{% call m() %}{% endcall %}",
        "{%- set x = 1 %}",
        "{{ range(10) }}",
        "{{ a.clear() }}",
        "{{ a['clear']() }}",
        "{{ (a.clear)() }}",
        "{{ a.__class__ }}",
        "{{ 'a' * 10 }}",
        "{{ a is string }}",
        "{% for x in xs recursive %}{{ loop(x) }}{% endfor %}",
        "{{ debug() }}",
        "{{ namespace() }}",
    ],
)
def test_a_text_can_do_no_more_than_say_values(tag: str) -> None:
    """Nothing an author writes can switch escaping off, call code or fill the memory."""
    found = problem(f"title: t\n\nx {tag}")

    assert found.line == 3


def test_dropping_a_star_never_makes_a_tag() -> None:
    """Markup that a medium leaves out does not join what stood around it."""
    found = {markup: body("{**{ a|safe }}**", markup) for markup in Markup}

    assert found[Markup.PLAIN] == "{**{ a|safe }}**"
    assert found[Markup.HTML] == "<p>{<strong>{ a|safe }}</strong></p>"


@pytest.mark.parametrize(
    "tag",
    [
        "{{ (a) }}",
        "{% if (a) and not (b or b) %}{{ a }}{% endif %}",
        "{{ a|default('(x|y) * is') }}",
        "{% if a in (a, b) %}{{ a }}{% endif %}",
        "{{ a if (a) else (b) }}",
        "{{ a|upper|lower }}",
        "{% for x in [a] %}{{ x }}{% endfor %}",
        "{{- a -}}",
        "{{ a }}{# (note) #}",
    ],
)
def test_ordinary_expressions_are_allowed(tag: str) -> None:
    """Authors can compare, combine and choose."""
    assert body(tag, a="v", b=None) == "v"


def test_a_text_for_one_channel_needs_one_for_all_others() -> None:
    """No channel is left without words because another has its own."""
    with pytest.raises(TemplateInvalid, match=r"write id\.txt"):
        Texts([text("title: t\n"), text("title: t\n", locale="id", channel="slack")])


def test_texts_without_the_default_locale_are_refused() -> None:
    """Whoever speaks a language we do not is told in English rather than not at all."""
    with pytest.raises(TemplateInvalid, match=r"order\.shipped/user/en\.txt"):
        Texts([text("title: t\n", locale="id")])


# -- money and moments --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "english", "indonesian"),
    [
        ("150000", "IDR", "Rp\xa0150,000", "Rp\xa0150.000"),
        (150000, "idr", "Rp\xa0150,000", "Rp\xa0150.000"),
        ("150000.50", "IDR", "Rp\xa0150,000.50", "Rp\xa0150.000,50"),
        ("12.5", "USD", "US$12.50", "US$12,50"),
        (12.5, "USD", "US$12.50", "US$12,50"),
        ("0.005", "USD", "US$0.01", "US$0,01"),
        ("-1234567.891", "EUR", "-€1,234,567.89", "-€1.234.567,89"),
        ("-0.001", "USD", "US$0.00", "US$0,00"),
        ("1200", "JPY", "¥1,200", "¥1.200"),
        ("1.5", "KWD", "KWD\xa01.500", "KWD\xa01,500"),
        ("9", "CHF", "CHF\xa09.00", "CHF\xa09,00"),
        ("9", "", "9.00", "9,00"),
        ("a lot", "USD", "a lot USD", "a lot USD"),
        ("NaN", "USD", "NaN USD", "NaN USD"),
        ("1e999999999", "USD", "1e999999999 USD", "1e999999999 USD"),
        (True, "USD", "true USD", "true USD"),
        (None, "USD", "USD", "USD"),
    ],
)
def test_money_reads_as_people_write_it(amount: JsonValue, currency: str, english: str, indonesian: str) -> None:
    """An amount looks as it does on a price tag, in both languages, and an odd one is shown as it came."""
    source = "title: {{ amount|money(currency) }}\n"

    assert content(source, amount=amount, currency=currency).title == english
    assert content(source, locale="id", amount=amount, currency=currency).title == indonesian


@pytest.mark.parametrize(
    ("moment", "zone", "english", "indonesian"),
    [
        ("2026-05-12T07:05:00Z", "Asia/Jakarta", "12 May 2026, 14:05 WIB", "12 Mei 2026, 14:05 WIB"),
        ("2026-08-01T00:00:00+00:00", "Asia/Makassar", "1 Aug 2026, 08:00 WITA", "1 Agu 2026, 08:00 WITA"),
        ("2026-12-31T23:30:00", "Europe/Berlin", "1 Jan 2027, 00:30 CET", "1 Jan 2027, 00:30 CET"),
        ("2026-10-01T12:00:00+02:00", "UTC", "1 Oct 2026, 10:00 UTC", "1 Okt 2026, 10:00 UTC"),
        ("2026-01-01T00:00:00Z", "Asia/Kathmandu", "1 Jan 2026, 05:45 UTC+5:45", "1 Jan 2026, 05:45 UTC+5:45"),
        ("2026-01-01T00:00:00Z", "America/Sao_Paulo", "31 Dec 2025, 21:00 UTC-3", "31 Des 2025, 21:00 UTC-3"),
        ("2026-01-01T00:00:00Z", "../../etc/passwd", "1 Jan 2026, 00:00 UTC", "1 Jan 2026, 00:00 UTC"),
        ("2026-01-01T00:00:00Z", "", "1 Jan 2026, 00:00 UTC", "1 Jan 2026, 00:00 UTC"),
        ("0001-01-01T00:00:00Z", "America/New_York", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("soon", "UTC", "soon", "soon"),
        (7, "UTC", "7", "7"),
    ],
)
def test_a_moment_is_told_by_the_person_s_own_clock(
    moment: JsonValue, zone: str, english: str, indonesian: str
) -> None:
    """A time is the person's local time, with its zone, and an odd one is shown as it came."""
    source = "title: {{ at|datetime }}\n"
    texts = Texts([text(source), text(source, locale="id")])
    person = PersonView("Ani", "id", zone)

    found = [
        texts.render(
            TextKey("order.shipped", "user", locale),
            Markup.PLAIN,
            "",
            values={"at": moment},
            person=person,
            event=SHIPPED,
        )
        for locale in ("en", "id")
    ]

    assert found == [Content(english, ""), Content(indonesian, "")]


# -- the built-in texts -------------------------------------------------------------------------------------------

REQUIRED: dict[tuple[str, str], dict[str, JsonValue]] = {
    ("stream.started", "user"): {"user_id": "u1", "stream_id": "s1", "title": "Ngoding malam"},
    ("stream.disconnected", "user"): {"user_id": "u1", "stream_id": "s1", "title": "Ngoding malam"},
    ("payment.failed", "user"): {
        "user_id": "u1", "payment_id": "p1", "amount": "150000", "currency": "IDR", "reason": "card declined",
    },
    ("payment.success", "user"): {"user_id": "u1", "payment_id": "p1", "amount": "150000", "currency": "IDR"},
    ("order.shipped", "user"): {"user_id": "u1", "order_code": "A-1", "courier": "JNE"},
    ("order.shipped", "admins"): {"user_id": "u1", "order_code": "A-1", "courier": "JNE"},
    ("system.error", "admins"): {"service": "billing", "error": "Disk full", "severity": "critical"},
    ("custom", "envelope"): {"title": "Kopdar Sabtu", "message": "Jam 10.\nDatang ya!"},
}  # fmt: skip
OPTIONAL: dict[tuple[str, str], dict[str, JsonValue]] = {
    ("stream.started", "user"): {"url": "https://live.test/s1"},
    ("stream.disconnected", "user"): {"reason": "timeout"},
    ("payment.failed", "user"): {"retry_url": "https://pay.test/p1"},
    ("payment.success", "user"): {"order_code": "A-1", "invoice_url": "https://pay.test/i1"},
    ("order.shipped", "user"): {"tracking_number": "JX123"},
    ("order.shipped", "admins"): {"tracking_number": "JX123"},
    ("system.error", "admins"): {"trace_id": "4bf92f"},
    ("custom", "envelope"): {
        "user_ids": ["u1"], "url": "https://x.test", "icon": "bell", "image": "https://x.test/i.png",
        "priority": "high", "expires_in_days": 3,
    },
}  # fmt: skip


def built_in(event_type: str, audience: str, locale: str, markup: Markup, *, is_full: bool) -> Content:
    place = (event_type, audience)
    optional = OPTIONAL[place] if is_full else dict.fromkeys(OPTIONAL[place])
    found = BUILT_IN_TEXTS.render(
        TextKey(event_type, audience, locale),
        markup,
        "email",
        values={**REQUIRED[place], **optional},
        person=ANI,
        event=EventView(event_type, SHIPPED.time),
    )
    assert isinstance(found, Content), found
    return found


@pytest.mark.parametrize("is_full", [True, False], ids=["full", "minimal"])
@pytest.mark.parametrize("markup", Markup)
@pytest.mark.parametrize("locale", ["en", "id"])
@pytest.mark.parametrize("place", REQUIRED, ids="/".join)
def test_every_built_in_text_renders_with_full_and_minimal_payloads(
    place: tuple[str, str], locale: str, markup: Markup, *, is_full: bool
) -> None:
    """Every text that comes with Kabar is fit to be sent, whatever optional fields are there."""
    found = built_in(*place, locale, markup, is_full=is_full)

    assert BUILT_IN_TEXTS.locale_for(*place, locale) == locale
    assert found.body
    assert bool(found.link) == bool(found.action)
    assert bool(found.link) == (is_full and any("url" in name for name in OPTIONAL[place]))
    for part in (found.title, found.body):
        assert not re.search(r"None|none\b|\{|\}|\*\*|\]\(|  |<p></p>|\[\]|: *$", part)


@pytest.mark.parametrize("place", REQUIRED, ids="/".join)
def test_built_in_texts_use_only_fields_their_payload_has(place: tuple[str, str]) -> None:
    """No built-in text waits for a field that no event brings."""
    assert BUILT_IN_TEXTS.fields(*place) <= set(REQUIRED[place]) | set(OPTIONAL[place])


def test_the_texts_asked_for_word_by_word_are_exact() -> None:
    """The wording that was asked for is the wording that is sent."""
    success = built_in("payment.success", "user", "id", Markup.PLAIN, is_full=False)
    shipped = built_in("order.shipped", "user", "en", Markup.PLAIN, is_full=True)
    untracked = built_in("order.shipped", "user", "en", Markup.PLAIN, is_full=False)
    admins = built_in("order.shipped", "admins", "en", Markup.PLAIN, is_full=False)

    assert success.title == "Pembayaranmu berhasil, membership aktif"
    assert (shipped.title, shipped.body) == ("Order Shipped", "Your order A-1 has shipped. Track: JX123")
    assert untracked.body == "Your order A-1 has shipped."
    assert (admins.title, admins.body) == ("📦 Order Shipped", "Order #A-1 shipped via JNE")


def test_a_person_without_a_name_is_greeted_without_a_gap() -> None:
    """A directory entry without a name costs nobody an odd greeting."""
    found = BUILT_IN_TEXTS.render(
        TextKey("stream.started", "user", "en"),
        Markup.PLAIN,
        "email",
        values={**REQUIRED["stream.started", "user"], "url": None},
        person=PersonView("", "en", "UTC"),
        event=SHIPPED,
    )

    assert isinstance(found, Content)
    assert found.body.startswith("Hi, your stream")
