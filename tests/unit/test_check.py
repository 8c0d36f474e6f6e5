"""What `kabar check` finds in texts, and what it lets pass."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from email import message_from_bytes
from email.policy import default
from typing import Any
from uuid import UUID

import pytest
from pydantic import AwareDatetime, HttpUrl

from schemas.catalogue import Catalogue, EventData, PersonId, Priority, Route
from worker.channels.base import Channel, Target
from worker.channels.email import EmailChannel, Mail
from worker.channels.fitting import ELLIPSIS
from worker.channels.slack import SlackChannel, SlackMessage
from worker.channels.telegram import TelegramChannel, TelegramMessage
from worker.core.check import Finding, check_texts
from worker.core.check_sizes import ROOM
from worker.core.content import Content
from worker.core.text_source import Source
from worker.deployment import BUILT_IN_EVENTS
from worker.texts import BUILT_IN, read_sources


class Lent(
    EventData,
    type="book.lent",
    category="book",
    routes=(Route("user", Priority.HIGH, "inbox email telegram slack"), Route("admins", Priority.LOW, "inbox")),
):
    """A book was lent."""

    user_id: PersonId
    book_title: str
    author: str
    due_at: AwareDatetime
    fee: Decimal
    currency: str
    tags: list[str]
    summary: str
    url: HttpUrl | None = None
    note: str | None = None
    copies: int | None = None


class Overdue(EventData, type="book.overdue", category="book", routes=(Route("user", Priority.URGENT, "inbox sms"),)):
    """A book should be back by now."""

    user_id: PersonId
    book_title: str


CATALOGUE = Catalogue([Lent, Overdue])
GOOD = """\
title: {{ book_title }} is yours until {{ due_at|date }}
link: {{ url }}
action: Open

**{{ book_title }}** by {{ author }} costs {{ fee|money(currency) }}.
{% if note %}
Note: {{ note }}
{% endif %}

- [Rules](https://library.test/rules)
- {{ tags|join(", ") }}
"""


def sources(**texts: str) -> list[Source]:
    """A good text for every route of both types in English, and these by their place, such as `lent_user_en`."""
    usual = {"lent_user_en": GOOD, "lent_admins_en": "title: Lent\n", "overdue_user_en": "title: Overdue\n"}
    made = []
    for place, text in {**usual, **texts}.items():
        kind, audience, wording = place.split("_", 2)
        locale, _, channel = wording.partition("_")
        path = f"texts/book.{kind}/{audience}/{wording.replace('_', '.')}.txt"
        made.append(Source(path, f"book.{kind}", audience, locale, channel, text))
    return made


def findings(**texts: str) -> list[Finding]:
    return check_texts(sources(**texts), CATALOGUE, ["en"])


def test_good_texts_pass() -> None:
    """Nothing is said of texts that are right."""
    assert findings() == []


CHANNELS: dict[str, tuple[Channel[Any], str]] = {
    "email": (EmailChannel("smtp://127.0.0.1:25", "Kabar <kabar@example.com>"), "ani@example.com"),
    "telegram": (TelegramChannel("123456:AAbbCCddEE"), "1001"),
    "slack": (SlackChannel(token="xoxb-1"), "C0123456"),
}
TITLED = "title: t\n\n"
PLANTED = [
    ("a field that is not there", "title: {{ xyzzy }}\n", 1, "no field 'xyzzy'", "use one of user_id"),
    ("a misspelt field", TITLED + "{{ book_titel }}", 3, "no field 'book_titel'", "did you mean book_title?"),
    ("a misspelt field in a condition", TITLED + "{% if nte %}\nx\n{% endif %}", 3, "'nte'", "did you mean note?"),
    ("a misspelt field of a filter", TITLED + "{{ fee|money(curency) }}", 3, "'curency'", "did you mean currency?"),
    ("a misspelt field in a loop", TITLED + "{% for t in tag %}\n- {{ t }}\n{% endfor %}", 3, "'tag'", "tags?"),
    ("a loop's name after the loop", TITLED + "{% for t in tags %}\n- {{ t }}\n{% endfor %}\n\n{{ t }}", 7, "'t'", ""),
    ("a field a person has not", TITLED + "{{ person.nme }}", 3, "person.nme", "person.name"),
    ("an absent field printed", TITLED + "x\n\n{{ note }}", 5, "'note' is printed and may be absent", "{% if note %}"),
    ("an absent field in the title", "title: {{ note }}\n", 1, "'note' is printed", "default"),
    ("guarded by another", TITLED + "{% if copies %}\n{{ note }}\n{% endif %}", 4, "'note'", ""),
    ("guarded by one of two", TITLED + "{% if note or copies %}{{ note }}{% endif %}", 3, "'note'", ""),
    ("printed where it is absent", TITLED + "{% if note %}a{% else %}{{ note }}{% endif %}", 3, "'note'", ""),
    ("printed after its guard", TITLED + "{% if note %}a{% endif %}{{ note }}", 3, "'note'", ""),
    ("absent in a part of a link", "title: t\nlink: https://x.test/{{ note }}\naction: a\n", 2, "'note'", ""),
    ("absent in a link of the body", TITLED + "[Look]({{ url }})", 3, "'url'", "{% if url %}"),
    ("a moment as it travels", TITLED + "until {{ due_at }}", 3, "a moment is printed", "due_at|datetime"),
    ("the event's moment as it travels", TITLED + "{{ event.time }}", 3, "a moment", "event.time|datetime"),
    ("an amount as it travels", TITLED + "{{ fee }}", 3, "an amount is printed", "fee|money(currency)"),
    ("an amount without currency", TITLED + "{{ fee|money }}", 3, "no currency", "money(currency)"),
    ("a list as it travels", TITLED + "{{ tags }}", 3, "a list is printed", "join"),
    ("a date of what is none", TITLED + "{{ author|date }}", 3, "'author' is a text and not for |date", ""),
    ("an unknown filter", TITLED + "{{ author|title }}", 3, "no filter 'title'", "money"),
    ("a statement that is not allowed", TITLED + "{% set x = 1 %}", 3, "not allowed", "if"),
    ("a statement without its end", TITLED + "{% if note %}", 3, "no beginning or no end", "endif"),
    ("a tag without its end", TITLED + "{{ note", 3, "does not end", "close it"),
    ("no title", "action: x\n", 1, "no title", "title:"),
    ("an unknown header", "titel: x\n", 1, "no header", "title:"),
    ("a link without its action", "title: t\nlink: https://x.test\n", 1, "link without its action", ""),
    ("a brace before bold", TITLED + "a\n{**{{ author }}**", 4, "a brace comes to touch a tag", "leave"),
    ("a brace before a line's statement", TITLED + "{\n{% if note %}\nb\n{% endif %}", 3, "a brace", ""),
    ("a brace in a link", "title: t\nlink: https://x.test/{\naction: a\n", 2, "a brace", ""),
    ("a brace in a link of the body", TITLED + "[a](https://x.test/{{ author }}{)", 3, "a brace", ""),
    ("bold without its end", TITLED + "a\n**b", 4, "** begins or ends no bold text", "**words**"),
    ("bold with spaces", TITLED + "** b **", 3, "**", ""),
    ("a link with a space", TITLED + "[a](https://x.test/ b)", 3, "no link", "without spaces"),
    ("a list of stars", TITLED + "* a", 3, "no list item", "'- '"),
    ("HTML", TITLED + "a<br>b", 3, "<br> is shown as it stands", "**bold**"),
    ("markup in the title", "title: **t**\n", 1, "markup in the title", "only the body"),
    ("markup in the action", "title: t\nlink: https://x.test\naction: [a](https://x.test)\n", 3, "the action", ""),
    ("a link to a script", TITLED + "[a](javascript:alert)", 3, "javascript:alert is no URL", "https://"),
    ("a link to a file", "title: t\nlink: file:///etc/{{ author }}\naction: a\n", 2, "no address", "mailto:"),
    ("a link without a scheme", "title: t\nlink: x.test/{{ author }}\naction: a\n", 2, "no address", "https://"),
    ("a link to a value that is none", "title: t\nlink: {{ author }}\naction: a\n", 2, "'author' is no URL", ""),
    ("a link of the body to no URL", TITLED + "[a]({{ author }})", 3, "'author' is no URL", ""),
    ("a title that is always cut", "title: {{ summary }}\n", 1, "can reach 300 characters: email shows 200", "shorten"),
    ("a title that ends in prose the body lacks", "title: {{ author }}: {{ summary }}\n", 1, "the title can", ""),
    ("a label that is always cut", f"title: t\nlink: https://x.test\naction: {'word ' * 20}\n", 3, "the action", ""),
    ("a body that is always cut", TITLED + "word " * 700, 2, "slack shows", "en.slack.txt"),
    ("work without end", TITLED + "{% for a in tags %}" * 7 + "x" + "{% endfor %}" * 7, 3, "fuel spent", "less"),
    ("a loop's number outside of it", TITLED + "{{ loop.index }}", 3, "variable unknown: loop.index", ""),
    ("a control character", "title: a\x08b\n", 1, "U+0008", "remove"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "what", "remedy"), [each[1:] for each in PLANTED], ids=[each[0] for each in PLANTED]
)
def test_a_planted_mistake_is_found(text: str, line: int, what: str, remedy: str) -> None:
    """Each mistake is named once, at its line, with what to write instead."""
    (finding,) = findings(lent_user_en=text)

    assert (finding.path, finding.line) == ("texts/book.lent/user/en.txt", line)
    assert what in finding.what
    assert remedy in finding.remedy
    assert str(finding).startswith(f"texts/book.lent/user/en.txt:{line}: ")


@pytest.mark.parametrize(
    "body",
    [
        "{% if note %}{{ note }}{% endif %}",
        "{% if note and copies > 1 %}{{ note }} {{ copies }}{% endif %}",
        "{% if not note %}none{% else %}{{ note }}{% endif %}",
        "{% if not note %}none{% elif copies %}{{ note }} {{ copies }}{% endif %}",
        "{% if note %}\n{% if copies %}\n{{ note }}\n{% endif %}\n{{ note }}\n{% endif %}",
        "{{ note|default('nothing') }}",
        "{{ note or 'nothing' }}",
        "{{ note if note else 'nothing' }}",
        "{% if url %}[Open]({{ url }}){% endif %}",
        "{% if tags|length > 1 %}{{ tags|length }}{% endif %}",
        "{% for tag in tags %}\n- {{ tag }}{% if not loop.last %},{% endif %}\n{% endfor %}",
        '{{ book_title|default("a book, {{ and }} all") }} 2 * 3 ** 4',
        "{{ person.name }} {{ event.type }} {{ event.time|date }} {{ due_at|days_until }}",
        "[Write](mailto:{{ author }}@library.test) 3 < 4 > 2",
        "📚 {{ summary }}",
        "{# a note to translators: <b> ** #}",
    ],
)
def test_what_is_right_is_not_complained_about(body: str) -> None:
    """A check that cries wolf is switched off."""
    text = TITLED + body.replace(" 2 * 3 ** 4", " 2 * 3")

    assert findings(lent_user_en=text) == []


@pytest.mark.parametrize(
    ("place", "what", "remedy"),
    [
        ("lend_user_en", "no event type 'book.lend'", "did you mean book.lent?"),
        ("lent_usr_en", "no route to 'usr'", "did you mean user?"),
        ("lent_user_en_slak", "no channel 'slak'", "did you mean slack?"),
        ("lent_user_fr_slack", "it is for slack only", "fr.txt"),
    ],
)
def test_a_text_for_nothing_is_found(place: str, what: str, remedy: str) -> None:
    """A misspelt folder or file would never be read."""
    (finding,) = findings(**{place: "title: t\n"})

    assert what in finding.what
    assert remedy in finding.remedy


def test_a_route_without_its_text_is_found() -> None:
    """Every route of every type has a text in each locale that is asked for, and in English always."""
    some = [source for source in sources(lent_user_id="title: t\n") if source.event_type == "book.lent"]

    found = check_texts(some, CATALOGUE, ["id"])

    assert [str(each) for each in found] == [
        "book.overdue/user/en.txt:1: there is no such text; write it: en serves everybody whose language has no text",
        "book.overdue/user/id.txt:1: there is no such text; write it, or leave its locale out of --locales",
        "texts/book.lent/admins/id.txt:1: there is no such text; write it, or leave its locale out of --locales",
    ]


def test_a_channel_s_own_wording_is_checked_for_that_channel() -> None:
    """A shorter wording for one medium is judged by that medium, and spares the usual one."""
    long = TITLED + "word " * 700

    assert findings(lent_user_en=long, lent_user_en_slack=TITLED + "word") == []
    (finding,) = findings(lent_user_en_slack=long)
    assert finding.path == "texts/book.lent/user/en.slack.txt"
    assert finding.remedy == "shorten it"


def test_of_two_texts_for_one_place_both_are_checked() -> None:
    """A built-in text does not hide a mistake in the one that holds over it, or the reverse."""
    bad = [Source("ours/en.txt", "book.lent", "user", "en", "", "title: {{ wrong }}\n")]

    assert {each.path for each in check_texts([*sources(), *bad], CATALOGUE, ["en"])} == {"ours/en.txt"}
    assert {each.path for each in check_texts([*bad, *sources()], CATALOGUE, ["en"])} == {"ours/en.txt"}


@pytest.mark.parametrize(
    ("title", "parts", "foreign"),
    [
        ("word " * 70, 3, ""),
        ("книга " * 25, 3, "книга"),
    ],
)
def test_an_sms_of_many_parts_is_found(title: str, parts: int, foreign: str) -> None:
    """Each part costs; characters beyond GSM-7 more than double the price, and are named."""
    (finding,) = (each for each in findings(overdue_user_en=f"title: {title}\n") if "SMS" in each.what)

    assert f"an SMS takes {parts} parts" in finding.what
    assert foreign in finding.what
    assert "en.sms.txt" in finding.remedy
    (finding,) = findings(overdue_user_en_sms=f"title: {title}\n")
    assert finding.remedy.startswith("say it in fewer words")
    assert "sms.txt" not in finding.remedy


@pytest.mark.parametrize("name", ["email", "telegram", "slack"])
def test_what_the_check_calls_too_long_is_what_the_channel_cuts(name: str) -> None:
    """A title, a label and a body of just the size that is let through arrive whole, and a longer title does not."""
    channel, address = CHANNELS[name]
    room = ROOM[name]
    target = Target(UUID(int=1), address, "Ani", "book.lent", datetime(2026, 11, 12, tzinfo=UTC))

    def sent(title: int) -> str:
        content = Content("t" * title, "b " * (room.body // 2), "https://x.test/" + "x" * 200, "a" * room.action)
        return shown(channel.fit((content,) * len(channel.abilities.markups), target))

    assert "t" * room.title in sent(room.title)
    assert ELLIPSIS not in sent(room.title)
    assert ELLIPSIS in sent(room.title + 1)


def shown(message: object) -> str:
    """What of a message the check's limits are about."""
    match message:
        case Mail():
            return str(message_from_bytes(message.data, policy=default)["subject"])
        case TelegramMessage():
            return message.text + message.label
        case SlackMessage():
            return json.dumps(json.loads(message.payload)["blocks"], ensure_ascii=False)
        case _:
            raise AssertionError(message)


def test_the_built_in_texts_are_good() -> None:
    """What Kabar says by itself passes its own check, in English and in Indonesian."""
    found = check_texts(read_sources(BUILT_IN), Catalogue.of_modules(BUILT_IN_EVENTS), ["en", "id"])

    assert [str(each) for each in found] == []
