"""What texts promise against whoever means harm: no crash, no standstill, no leak, and nothing but words in a message.

The tables hold one line for each way in that was found or thought of. CPU time is counted and not the clock's, so
that a busy machine fails nobody.
"""

from __future__ import annotations

import html
import re
from contextlib import suppress
from datetime import UTC, datetime
from html.parser import HTMLParser
from time import thread_time

import pytest
from pydantic import JsonValue

from schemas.catalogue import Catalogue
from worker.core import limits
from worker.core.check import check_texts
from worker.core.content import Content, Markup
from worker.core.template import EventView, PersonView, TextKey, Texts, Unrenderable
from worker.core.text_source import Source
from worker.errors import TemplateInvalid

ANI = PersonView("Ani <b>&", "en", "Asia/Jakarta")
NOW = EventView("order.shipped", datetime(2026, 11, 12, 7, 5, tzinfo=UTC))
KEY = TextKey("order.shipped", "user", "en")
LONGEST_MS = 100
CATALOGUE = Catalogue.of_modules(["schemas.events.order"])


def texts_of(source: str) -> Texts:
    return Texts([Source("t.txt", "order.shipped", "user", "en", "", source)])


def said(texts: Texts, markup: Markup, **values: JsonValue) -> Content | Unrenderable:
    return texts.render(KEY, markup, "email", values=values, person=ANI, event=NOW)


def filled(piece: str, size: int = limits.LONGEST_SOURCE_BYTES - 100) -> str:
    return piece * (size // len(piece))


# -- templates ----------------------------------------------------------------------------------------------------

SLOW_TO_READ = {
    "bold that never ends": filled("**a "),
    "bold in bold": filled("** **"),
    "nothing but stars": filled("*"),
    "labels that never end": filled("[a "),
    "links that never end": filled("[a]("),
    "nothing but bold": filled("**a**"),
    "as many bold words as may be": f"**{'a' * 100}** " * (limits.MOST_BOLD_MARKS // 2),
    "nothing but links": filled("[a](https://b.test) "),
    "as many links as may be": f"[{'a' * 50}](https://b.test/{'b' * 50}) " * limits.MOST_LINKS,
    "nothing but brackets": filled("["),
    "nothing but line breaks": filled("\n"),
    "nothing but spaces": filled(" "),
    "nothing but what is escaped": filled("<"),
    "items": filled("- a\n"),
    "items and words by turns": filled("- a\nb\n"),
    "as many lines as may be": "- {{ v }}\nb\n" * 240,
    "statements on lines of their own": "{% if v %}\n- a\n{% endif %}\n" * 160,
    "statements around paragraphs": "{% if v %}\n\na\n\n{% endif %}\n" * 90,
    "nested statements": "{% if v %}\n" * 120 + "a\n" + "{% endif %}\n" * 120,
    "statements nested too deep": "{% if v %}" * 250 + "a" + "{% endif %}" * 250,
    "loops nested too deep": "{% for a in v %}" * 250 + "a" + "{% endfor %}" * 250,
    "bold over statements": "**{% if v %}**{% endif %} " * 200,
    "bold over tags": "**{{ v }} " * 400,
    "links of tags": "[{{ v }}]({{ v }}) " * 240,
    "tags": filled("{{ v }}"),
    "tags that never end": filled("{{"),
    "statements that never end": filled("{% "),
    "strings that never end": filled("{{ '"),
    "a string of escapes": "{{ " + filled('"\\', 60_000) + " }}",
    "few tags in one long line": "{{ v }}" * 499 + filled("{", 60_000),
}


@pytest.mark.parametrize("body", SLOW_TO_READ.values(), ids=SLOW_TO_READ)
def test_no_template_takes_long_to_read(body: str) -> None:
    """Whatever an operator pastes into a template, the answer comes at once: it is good, or what is wrong with it."""
    begin = thread_time()

    with suppress(TemplateInvalid):
        texts_of(f"title: t\n\n{body}")

    assert (thread_time() - begin) * 1000 < LONGEST_MS


@pytest.mark.parametrize("body", SLOW_TO_READ.values(), ids=SLOW_TO_READ)
def test_no_template_takes_long_to_check(body: str) -> None:
    """`kabar check` and a publish look at more than a worker does, and end as well: each mistake in a moment."""
    source = Source("t.txt", "order.shipped", "user", "en", "", f"title: t\n\n{body}")
    begin = thread_time()

    check_texts([source], CATALOGUE, ())

    assert (thread_time() - begin) * 1000 < 5 * LONGEST_MS


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("[a](https://b.test) " * (limits.MOST_LINKS + 1), f"{limits.MOST_LINKS + 1} links"),
        ("{{ v }}" * (limits.MOST_TAGS + 1), f"{limits.MOST_TAGS + 1} tags"),
        ("**a** " * (limits.MOST_BOLD_MARKS // 2 + 1), f"{limits.MOST_BOLD_MARKS + 2} bold marks"),
        ("a\n" * limits.MOST_LINES, "lines"),
        ("a" * limits.LONGEST_SOURCE_BYTES, "bytes"),
    ],
    ids=["links", "tags", "bold", "lines", "bytes"],
)
def test_a_template_beyond_all_limits_is_refused_by_the_limit(body: str, what: str) -> None:
    """Nobody writes five hundred links on purpose; who did reads what is too many, and how many may be."""
    with pytest.raises(TemplateInvalid, match=f"{what}, but the limit is"):
        texts_of(f"title: t\n\n{body}")


DEEP = {
    "minus signs": "-" * 60_000 + "v",
    "subtractions": "v" + "-1" * 30_000,
    "parentheses": "(" * 30_000 + "v" + ")" * 30_000,
    "lists": "[" * 30_000 + "]" * 30_000,
    "denials": "not " * 15_000 + "v",
    "conjunctions": "v" + " and v" * 10_000,
    "choices": "v" + " if v else v" * 5_000,
    "attributes": "v" + ".a" * 30_000,
    "places": "v" + "[0]" * 20_000,
    "filters": "v" + "|upper" * 10_000,
    "digits": "9" * 60_000,
    "as many minus signs as may be": "-" * 480 + "v",
    "as many parentheses as may be": "(" * 240 + "v" + ")" * 240,
    "as many lists as may be": "[" * 240 + "]" * 240,
    "as many denials as may be": "not " * 110 + "v",
    "as many places as may be": "v" + "[0]" * 150,
    "as many filters as may be": "v" + "|upper" * 80,
}


@pytest.mark.parametrize("expression", DEEP.values(), ids=DEEP)
@pytest.mark.parametrize("tag", ["{{{{ {} }}}}", "{{% if {} %}}a{{% endif %}}", "{{% for a in {} %}}a{{% endfor %}}"])
def test_no_expression_crashes_the_process(expression: str, tag: str) -> None:
    """However deep an expression goes, the worker lives: the engine's own parser dies of 60,000 minus signs."""
    begin = thread_time()

    with suppress(TemplateInvalid):
        said(texts_of(f"title: t\n\n{tag.format(expression)}"), Markup.PLAIN, v=[1])

    assert (thread_time() - begin) * 1000 < LONGEST_MS


FORBIDDEN = [
    "{{ person.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ v['__class__'] }}{{ v.__init__ }}",
    "{{ person['__class__'] }}",
    "{{ self.title() }}",
    "{{ debug() }}",
    "{{ range(1000000000) }}",
    "{{ dict(a=1) }}",
    "{{ namespace() }}",
    "{{ v.items() }}",
    "{{ v() }}",
    "{{ v|safe }}",
    "{{ v|escape }}",
    "{{ v|attr('a') }}",
    "{{ v|map('safe') }}",
    "{{ v|tojson }}",
    "{{ v|pprint }}",
    "{{ v|replace('a', 'b') }}",
    "{{ v|format(v) }}",
    "{{ v|batch(1) }}",
    "{{ v * 1000000 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ v ~ v }}",
    "{{ v + v }}",
    "{{ 1 + v }}",
    "{{ v is defined }}",
    "{% autoescape false %}{{ v }}{% endautoescape %}",
    "{% set a = v %}",
    "{% macro a() %}{% endmacro %}",
    "{% include 'order.shipped/user/en/plain' %}",
    "{% import 'a' as b %}",
    "{% extends 'a' %}",
    "{% block a %}{% endblock %}",
    "{% call a() %}{% endcall %}",
    "{% filter safe %}{{ v }}{% endfilter %}",
    "{% raw %}{{ v }}{% endraw %}",
    "{% do v %}",
    "{% with a = v %}{% endwith %}",
    "{% for a in v recursive %}{{ loop(v) }}{% endfor %}",
    "{% for person in v %}{% endfor %}",
    "{% for event, a in v %}{% endfor %}",
    "{{ person.password }}",
    "{{ event.data }}",
    "{{ person }}",
    "\x1e{{ v }}",
    "\u202e{{ v }}",
    "\U000f0000",
]


@pytest.mark.parametrize("body", FORBIDDEN, ids=ascii)
def test_a_template_gets_at_nothing_but_its_event(body: str) -> None:
    """No template reaches the program, another text, or a way around escaping: it is refused before it is used."""
    with pytest.raises(TemplateInvalid):
        texts_of(f"title: t\n\n{body}")


# -- templates and payloads together ------------------------------------------------------------------------------

GREEDY = {
    "a value again and again": "{{ v }}" * 490,
    "a value in every case": "{{ v|upper }}{{ v|lower }}" * 240,
    "chains of filters": ("{{ v" + "|upper|lower" * 36 + " }}") * 120,
    "amounts of amounts": ("{{ v" + "|money(v)" * 50 + " }}") * 120,
    "loops in loops": "{% for a in v %}" * 6 + "{{ v }}" + "{% endfor %}" * 6,
    "loops over loops": "{% for a in v %}{% for b in v %}" + "x" * 60_000 + "{% endfor %}{% endfor %}",
    "a list of lists": "{{ [v,v,v,v,v,v,v,v,v,v] }}" * 400,
    "a loop over a list of lists": "{% for a in [v,v,v,v,v,v] %}{% for b in a %}{{ v }}{% endfor %}{% endfor %}",
    "searches": "{% if 'z' in v %}a{% endif %}" * 240,
    "searches in a loop": "{% for a in v %}{% if a in v %}{% endif %}{% if v == v %}{% endif %}{% endfor %}",
    "joins": ("{{ v" + "|join('0123456789abcdef')" * 18 + " }}") * 120,
    "joins by itself": "{{ v|join(v)|join(v)|join(v) }}" * 400,
    "moments": "{% for a in v %}{{ a|datetime }}{{ a|days_until }}{{ a|number }}{{ a|default(a) }}{% endfor %}",
    "amounts in a loop": "{% for a in v %}{% for b in v %}{{ a|money(b) }}{% endfor %}{% endfor %}",
    "slices": "{{ v[1:][1:][1:][::-1] }}" * 400,
    "links": "[{{ v }}]({{ v }}) " * 240,
    "plurals of plurals": ("{{ v" + "|plural(v, v)" * 30 + " }}") * 120,
}
PAYLOADS: dict[str, JsonValue] = {
    "a long word": "x" * 60_000,
    "a word beyond all limits": "x" * 250_000,
    "quotes": '"' * 60_000,
    "tags": "<a>" * 20_000,
    "umlauts": "é" * 60_000,
    "astral": "😀" * 15_000,
    "line breaks": "\n" * 60_000,
    "line breaks and spaces": "\n \t" * 20_000,
    "separators": "\x1d\x1e" * 30_000,
    "a short word": 'é"<',
    "a list": ["2026-11-12T07:05:00Z"] * 50,
    "a long list": ["a"] * 3_000,
    "a list beyond all limits": [1] * 120_000,
    "a list of lists": [[["a"] * 10] * 10] * 10,
    "an object": {"a" * 50: {"b": '"' * 1000}},
    "an object beyond all limits": {str(number): number for number in range(40_000)},
    "a number": 10**300,
    "half a pair": "\ud800",
    "true": True,
    "nothing": None,
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("body", GREEDY.values(), ids=GREEDY)
def test_no_template_and_no_payload_together_hold_the_worker_up(body: str, payload: JsonValue) -> None:
    """Within a tenth of a second there is a message of a sane size, or the reason why there is none."""
    texts = texts_of(f"title: t\n\n{body}")
    for markup in (Markup.PLAIN, Markup.HTML):
        begin = thread_time()

        found = said(texts, markup, v=payload)

        assert (thread_time() - begin) * 1000 < LONGEST_MS
        if isinstance(found, Content):
            assert len(found.body) <= limits.LONGEST_OUTPUT * 4  # a line break in HTML is four characters
            found.body.encode()


@pytest.mark.parametrize(
    ("body", "payload", "reason"),
    [
        ("{{ v }}", "x" * (limits.HEAVIEST_CONTEXT + 1), "context_too_large"),
        ("{{ v }}", [1] * 5_000, "context_too_large"),
        ("{{ v }}" * 10, "x" * 40_000, "output_too_large"),
        ("{{ v }}" * 400, "'" * 40_000, "fuel_spent"),
        ("{% for a in v %}{% for b in v %}{{ a }}{% endfor %}{% endfor %}", ["a"] * 200, "fuel_spent"),
        ("{{ v.nothing }}", {"a": 1}, "variable_unknown"),
        ("{{ v // 0 }}", 1, "template_failed"),
        ("{{ v|round }}", "x", "template_failed"),
    ],
)
def test_what_is_too_much_is_refused_by_its_name(body: str, payload: JsonValue, reason: str) -> None:
    """An operator reads on the dead letter which limit was passed and where, and none of the person's data."""
    found = said(texts_of(f"title: t\n\n{body}"), Markup.HTML, v=payload)

    assert isinstance(found, Unrenderable)
    assert found.reason == reason
    assert found.detail.startswith("t.txt")
    assert len(found.detail) < 200


def test_a_large_message_that_harms_nobody_goes_out() -> None:
    """Limits are for harm: a letter of thirty pages in an ordinary text is sent."""
    letter = "Dear Ani, it's a long story.\n" * 1_200

    found = said(texts_of("title: {{ v|length }}\n\nHi {{ person.name }}\n\n{{ v }}"), Markup.PLAIN, v=letter)

    assert isinstance(found, Content)
    assert letter.strip() in found.body


@pytest.mark.parametrize("count", [1, 20, 100])
def test_a_list_that_people_would_read_goes_out(count: int) -> None:
    """A digest of a hundred lines is no attack."""
    source = "title: t\n\n{% for item in items %}\n- {{ item.title }}: {{ item.price|money('IDR') }}\n{% endfor %}"
    items: list[JsonValue] = [{"title": "A nice thing to have", "price": 15000}] * count

    found = said(texts_of(source), Markup.PLAIN, items=items)

    assert isinstance(found, Content)
    assert found.body.count("Rp\xa015,000") == count


SECRET = "hunter2-💣"


@pytest.mark.parametrize(
    "body",
    ["{{ v.x }}", "{{ v // v }}", "{{ v|round }}", "{{ v - 1 }}", "{% for a in v - 1 %}{% endfor %}", "{{ v.x.y }}"],
)
def test_no_failure_shows_a_value(body: str) -> None:
    """What a person told us stays out of logs and dead letters' reasons."""
    found = said(texts_of(f"title: t\n\n{body}"), Markup.PLAIN, v=SECRET)

    assert isinstance(found, Unrenderable)
    assert SECRET not in found.detail


# -- what a message may hold --------------------------------------------------------------------------------------

INJECTIONS = [
    "</p><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!--", "-->", "]]>", "<![CDATA[", "<!DOCTYPE x>", "<?php ?>",
    "</title></head><body>",
    "&lt;script&gt;", "&#60;b&#62;", "&", "&amp", "&#x;",
    '" onmouseover="alert(1)', "' onmouseover='alert(1)",
    "javascript:alert(1)", "data:text/html,<b>",
    "<!channel> <!everyone> <@U1|x> <#C1>", "<https://evil.test|bank>", "*_~`>",
    '<b>b</b><a href="tg://user?id=1">x</a><tg-spoiler>',
    "**b** [x](https://evil.test)", "- item\n- item", "# h1",
    "{{ 7*7 }}", "{% for a in b %}", "{# x #}", "${7*7}", "#{7*7}", "%s%n", "{0.__class__}",
    "a\r\nBcc: b@evil.test", "a\nSubject: x", "=?utf-8?B?eA==?=", "\x00", "\x1b[31m", "\x7f", "\x85",
    "\u202egnp.exe", "\u2066\u2069", "\u2028\u2029", "\ufeff", "\ud800", "\x1ea\x1eb\x1ec\x1e",
    "\x1djavascript:x\x1dy\x1d", "\U000f0000\U000f0001",
    "'; DROP TABLE deliveries; --", "../../etc/passwd", "%0d%0a", "\\", "\u0301" * 500, "ﷺ" * 100,
]  # fmt: skip
AROUND = "title: T {{ v }}\nlink: {{ v }}\naction: A {{ v }}\n\nHi {{ v }} **{{ v }}** [{{ v }}]({{ v }})\n\n- {{ v }}"


class _Shape(HTMLParser):
    """The tags and attributes of a text, and what is read of it."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[object] = []
        self.words = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "br":  # a value's own line breaks
            self.found.append((tag, [name for name, _ in attrs]))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(tag)

    def handle_comment(self, data: str) -> None:
        self.found.append(data)

    def handle_decl(self, decl: str) -> None:
        self.found.append(decl)

    def handle_pi(self, data: str) -> None:
        self.found.append(data)

    def unknown_decl(self, data: str) -> None:
        self.found.append(data)

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize("value", INJECTIONS, ids=lambda value: ascii(value[:24]))
@pytest.mark.parametrize("markup", [Markup.HTML, Markup.TELEGRAM])
def test_no_value_adds_a_tag_to_html(value: str, markup: Markup) -> None:
    """In a mail and in Telegram a value is read as it was written, and does nothing."""
    texts = texts_of(AROUND)

    found, quiet = said(texts, markup, v=value), said(texts, markup, v="quiet")

    assert isinstance(found, Content)
    assert isinstance(quiet, Content)
    for part, quiet_part in ((found.title, quiet.title), (found.body, quiet.body), (found.action, quiet.action)):
        assert _Shape(part).found == _Shape(quiet_part).found
    assert found.link == ""
    if value.isprintable() and value.isascii():
        assert value in _Shape(found.body).words


@pytest.mark.parametrize("value", INJECTIONS, ids=lambda value: ascii(value[:24]))
def test_no_value_mentions_or_links_in_slack(value: str) -> None:
    """Nobody can call a whole channel, or dress a link up, by a value."""
    found = said(texts_of(AROUND), Markup.MRKDWN, v=value)

    assert isinstance(found, Content)
    for part in (found.title, found.body, found.action):
        assert "<" not in part
        assert ">" not in part
        assert not re.search(r"&(?!amp;|lt;|gt;)", part)
    if value.isprintable() and value.isascii():
        assert value in html.unescape(found.body)


@pytest.mark.parametrize("value", INJECTIONS, ids=lambda value: ascii(value[:24]))
@pytest.mark.parametrize("markup", Markup)
def test_no_value_forges_a_line_a_field_or_a_direction(value: str, markup: Markup) -> None:
    """Titles are one line, no control character goes out, and no words run backwards."""
    found = said(texts_of(AROUND), markup, v=value)

    assert isinstance(found, Content)
    for line in (found.title, found.action, found.link):
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", line)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", found.body)
    assert found.title.startswith("T")
    found.body.encode()


def test_a_person_s_own_name_is_only_a_name() -> None:
    """Whoever calls themselves <script> is greeted by that name and harms nobody."""
    found = said(texts_of("title: t\n\nHi {{ person.name }}"), Markup.HTML)

    assert isinstance(found, Content)
    assert found.body == "<p>Hi Ani &lt;b&gt;&amp;</p>"
