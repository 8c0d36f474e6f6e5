"""What formats promise: numbers, sizes, spans and moments as people write them, and never an exception."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from worker.core import formats, moments
from worker.core.content import Content, Markup
from worker.core.template import EventView, PersonView, TextKey, Texts, Unrenderable
from worker.core.text_source import Source
from worker.errors import TemplateInvalid

ANI = PersonView("Ani", "id", "Asia/Jakarta")
AT_NOON = EventView("t", datetime(2026, 11, 12, 12, 0, 4, tzinfo=UTC))


def body(source: str, locale: str = "en", **values: JsonValue) -> str | Unrenderable:
    texts = Texts([Source("t", "t", "user", each, "", f"title: t\n\n{source}") for each in {"en", locale}])
    found = texts.render(TextKey("t", "user", locale), Markup.PLAIN, "", values=values, person=ANI, event=AT_NOON)
    return found.body if isinstance(found, Content) else found


@pytest.mark.parametrize(
    ("value", "en", "id_"),
    [
        (0, "0", "0"),
        (1234567, "1,234,567", "1.234.567"),
        (-1234.5, "-1,234.5", "-1.234,5"),
        ("12.50", "12.5", "12,5"),
        (0.1 + 0.2, "0.3", "0,3"),
        (-0.0001, "0", "0"),
        (100.0, "100", "100"),
    ],
)
def test_a_number_has_its_thousands_apart(value: object, en: str, id_: str) -> None:
    """Large numbers can be read at a glance, in the way of the language."""
    assert (formats.number(value, "en"), formats.number(value, "id")) == (en, id_)


def test_percent_is_written_with_its_sign() -> None:
    """A share reads as people write it."""
    assert [formats.percent(value, "en") for value in (12.5, 100, 99.956, "7")] == ["12.5%", "100%", "99.96%", "7%"]
    assert formats.percent(12.5, "id") == "12,5%"


@pytest.mark.parametrize(
    ("count", "en"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1 MB"),
        (1_234_567_890, "1.2 GB"),
        (10**18, "1,000 PB"),
    ],
)
def test_bytes_are_said_in_the_unit_that_keeps_them_short(count: int, en: str) -> None:
    """Nobody counts the digits of a file's size."""
    assert formats.size(count, "en") == en
    assert formats.size(1_234_567_890, "id") == "1,2 GB"


@pytest.mark.parametrize(
    ("seconds", "en", "id_"),
    [
        (0, "0 seconds", "0 detik"),
        (0.2, "less than a second", "kurang dari satu detik"),
        (1, "1 second", "1 detik"),
        (59.6, "1 minute", "1 menit"),
        (180, "3 minutes", "3 menit"),
        ("185", "3 minutes 5 seconds", "3 menit 5 detik"),
        (3900, "1 hour 5 minutes", "1 jam 5 menit"),
        (3605, "1 hour", "1 jam"),
        (90_061, "1 day 1 hour", "1 hari 1 jam"),
        (86_400 * 1200, "1,200 days", "1.200 hari"),
    ],
)
def test_a_span_is_said_in_at_most_two_units(seconds: object, en: str, id_: str) -> None:
    """How long something took is said as a person would."""
    assert (formats.duration(seconds, "en"), formats.duration(seconds, "id")) == (en, id_)


def test_plural_picks_the_word_for_the_number() -> None:
    """One day, two days; where both words are the same, one is enough."""
    assert [formats.plural(count, "day", "days") for count in (0, 1, "1.0", 1.5, 2, -1, "x")] == [
        "days", "day", "day", "days", "days", "day", "days",
    ]  # fmt: skip
    assert formats.plural(3, "hari") == "hari"


def test_a_day_is_that_of_the_person_s_own_calendar() -> None:
    """Late in the evening in London it is tomorrow in Jakarta; a plain date is the same everywhere."""
    assert moments.day("2026-05-12T20:00:00Z", "Asia/Jakarta", "id") == "13 Mei 2026"
    assert moments.day("2026-05-12T20:00:00Z", "nowhere", "en") == "12 May 2026"
    assert moments.day("2026-05-12", "America/New_York", "en") == "12 May 2026"


def test_days_until_counts_to_the_nearest_day_and_never_below_nought() -> None:
    """What is three days away does not become two because the event was a moment late."""
    since = "2026-11-12T12:00:04+00:00"

    assert moments.days_until("2026-11-15T12:00:00Z", since, "UTC") == 3
    assert moments.days_until("2026-11-13T00:00:05Z", since, "UTC") == 1
    assert moments.days_until("2020-01-01T00:00:00Z", since, "UTC") == 0
    assert moments.minutes_until("2026-11-12T12:15:00Z", since) == 15
    assert moments.minutes_until("2026-11-12T11:00:00Z", since) == 0


def test_days_until_a_plain_date_are_days_of_the_person_s_calendar() -> None:
    """Whoever reads it on the 12th at night has three days to the 15th; where it is the 13th already, two."""
    since = "2026-11-12T18:00:00+00:00"

    assert moments.days_until("2026-11-15", since, "UTC") == 3
    assert moments.days_until("2026-11-15", since, "Asia/Jakarta") == 2


def test_every_filter_can_be_used_in_a_text() -> None:
    """Authors have all of them, in the text's language and by the person's clock."""
    source = (
        "{{ n|number }} {{ n|percent }} {{ n|bytes }} {{ n|duration }} {{ d|date }} {{ d|datetime }}"
        " {{ d|days_until }} {{ d|days_until|plural('day', 'days') }} {{ d|minutes_until|number }} {{ n|money('IDR') }}"
    )

    assert body(source, n=1500, d="2026-11-13T12:00:00Z") == (
        "1,500 1,500% 1.5 kB 25 minutes 13 Nov 2026 13 Nov 2026, 19:00 WIB 1 day 1,440 Rp\xa01,500"
    )
    assert body(source, "id", n=1500, d="2026-05-13T12:00:00Z") == (
        "1.500 1.500% 1,5 kB 25 menit 13 Mei 2026 13 Mei 2026, 19:00 WIB 0 days 0 Rp\xa01.500"
    )
    assert body("{{ xs|join(', ') }}", xs=["a", 1, True]) == "a, 1, true"


ONE_VALUE: list[Callable[[object], object]] = [
    lambda value: formats.money(value, "IDR", "id"),
    lambda value: formats.number(value, "id"),
    lambda value: formats.percent(value, "en"),
    lambda value: formats.size(value, "id"),
    lambda value: formats.duration(value, "en"),
    lambda value: moments.moment(value, value, "id"),
    lambda value: moments.day(value, "UTC", "en"),
    lambda value: moments.days_until(value, value, value),
    lambda value: moments.minutes_until(value, "2026-11-12"),
    lambda value: formats.joined(value, value),
]
ODD: st.SearchStrategy[object] = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=30)
    | st.sampled_from(
        ["nan", "-inf", "sNaN", "1e999999999", "1e-999999999", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
    )
    | st.lists(st.text(max_size=3), max_size=3)
)


@given(value=ODD)
def test_no_value_makes_a_format_fail(value: object) -> None:
    """A notification with an odd amount is better than none."""
    for say in ONE_VALUE:
        assert isinstance(say(value), str | int)
    assert isinstance(formats.plural(value, value, value), str)


@pytest.mark.parametrize("odd", ["soon", "", "1.2.3", "12 Nov"])
def test_what_cannot_be_read_comes_back_as_it_stands(odd: str) -> None:
    """The reader sees what the producer wrote."""
    assert [str(say(odd)).removesuffix(" IDR").removesuffix("IDR") for say in ONE_VALUE] == [odd] * len(ONE_VALUE)
    assert formats.duration(-5, "en") == "-5"
    assert formats.number(None, "en") == ""


@given(st.integers(-(10**20), 10**20))
def test_a_number_keeps_its_digits(value: int) -> None:
    """Formatting changes how a number looks, and never what it is."""
    assert int(re.sub("[.,]", "", formats.number(value, "id"))) == value


@pytest.mark.parametrize(
    "tag", ["{{ n|number(2) }}", "{% for person in n %}{% endfor %}", "{{ n|date('x') }}", "{{ n|wrong }}"]
)
def test_a_filter_that_is_used_wrongly_is_refused_when_the_text_is_loaded(tag: str) -> None:
    """A mistake shows before the first event."""
    with pytest.raises(TemplateInvalid):
        body(tag, n=1)


@pytest.mark.parametrize("tag", ["{{ n|money(1, 2, 3) }}", "{{ n|plural(1, 2, 3, x=4) }}", "{{ n|default(1, 2) }}"])
def test_surplus_arguments_stop_no_message(tag: str) -> None:
    """A slip in a text is no reason to say nothing."""
    assert isinstance(body(tag, n=1), str)


@given(
    st.from_regex(r"-?[0-9]{1,22}(\.[0-9]{0,4})?", fullmatch=True),
    st.sampled_from(["IDR", "USD", "JPY", "BHD", "XYZ", ""]),
    st.sampled_from(["en", "id"]),
)
def test_an_exact_amount_reads_as_if_it_had_been_rounded(amount: str, currency: str, language: str) -> None:
    """What needs no rounding takes a short cut; a blank before it makes it take the long way, to the same words."""
    assert formats.money(f" {amount}", currency, language) == formats.money(amount, currency, language)


@given(
    st.datetimes(timezones=st.just(UTC)) | st.datetimes(),
    st.sampled_from(["Asia/Jakarta", "Europe/Amsterdam", "Africa/Monrovia", "nowhere"]),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
)
def test_a_moment_reads_as_if_its_minute_were_not_remembered(at: datetime, zone: str, precision: str) -> None:
    """Old zones were seconds away from UTC. A blank before a moment makes it take the long way, to the same words."""
    written = at.isoformat(timespec=precision)
    assert moments.moment(f" {written}", zone, "en") == moments.moment(written, zone, "en")


@pytest.mark.parametrize("odd", ["2026-11-12T14:05:61Z", "2026-02-30T14:05:00Z", "2026-11-12T14:05:00+25:00"])
def test_what_is_nearly_a_moment_comes_back_as_it_stands(odd: str) -> None:
    """Its seconds and its offset too."""
    assert moments.moment(odd, "UTC", "en") == odd


FORMATTED = [
    "{{ v|money(c) }}", "{{v|money}}", "{{ v|money('IDR') }}", "{{ v | number }}", "{{ v|percent }}",
    "{{ v|bytes }}", "{{ v|duration }}", "{{ v|date }}", "{{ v|datetime }}", "{{ v|days_until }}",
    "{{ v|minutes_until }}", "{{ v|number|upper }}", "{% if v|number %}{{ v|number }}{% endif %}",
    "**{{ v|money(c) }}** {{ c|datetime }}", "{{ c|default('{{ v|number }}') }}", "{{ person.name }} {{ v|date }}",
]  # fmt: skip


# The engine hands a filter 0 for 0.0, which shows where there is nothing to format.
NOT_WHOLE = ODD.filter(lambda value: not (isinstance(value, float) and value.is_integer()))


@given(tag=st.sampled_from(FORMATTED), value=NOT_WHOLE, currency=st.sampled_from(["IDR", "usd", "", None, "<b>&", 3]))
def test_a_format_is_the_same_in_the_engine_and_before_it(tag: str, value: JsonValue, currency: JsonValue) -> None:
    """Within a loop the engine calls the filter itself; elsewhere it is done before."""
    values: dict[str, JsonValue] = {"v": value, "c": currency, "one": [1]}
    bodies = (tag, f"{{% for _ in one %}}{tag}{{% endfor %}}")
    before, within = (Texts([Source("t", "t", "user", "en", "", f"title: t\n\n{text}")]) for text in bodies)

    for markup in Markup:
        said, said_within = (
            texts.render(TextKey("t", "user", "en"), markup, "", values=values, person=ANI, event=AT_NOON)
            for texts in (before, within)
        )
        assert said == said_within
