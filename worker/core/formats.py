"""Money, numbers, sizes, spans and moments as people write them, in the languages the built-in texts speak.

Pure, and total: nothing raises. A value that cannot be read is given back as it stands, because a notification with
an odd amount is better than none. Knows English and Indonesian; any other language gets the English forms. Small on
purpose: Babel would be 33 MB for these few questions.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from zoneinfo import ZoneInfo

NO_BREAK = "\N{NO-BREAK SPACE}"
"""Stands between a currency and its figures, so that no line ends there."""
_SYMBOLS = {
    "AUD": "A$",
    "BRL": "R$",
    "CAD": "CA$",
    "CNY": "CN¥",
    "EUR": "€",
    "GBP": "£",
    "HKD": "HK$",
    "IDR": f"Rp{NO_BREAK}",
    "INR": "₹",
    "JPY": "¥",
    "KRW": "₩",
    "MYR": f"RM{NO_BREAK}",
    "NZD": "NZ$",
    "PHP": "₱",
    "SGD": "S$",
    "THB": "฿",
    "USD": "US$",
    "VND": "₫",
}
# ISO 4217 minor units where they are not two. IDR has two on paper and none in anyone's pocket.
_DIGITS = {
    "BHD": 3,
    "CLP": 0,
    "IDR": 0,
    "ISK": 0,
    "JOD": 3,
    "JPY": 0,
    "KRW": 0,
    "KWD": 3,
    "OMR": 3,
    "TND": 3,
    "VND": 0,
    "XAF": 0,
    "XOF": 0,
}
_MONTHS = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "id": ("Jan", "Feb", "Mar", "Apr", "Mei", "Jun", "Jul", "Agu", "Sep", "Okt", "Nov", "Des"),
}
_TO_INDONESIAN = str.maketrans(",.", ".,")
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_SPANS = (86_400, 3_600, 60, 1)
_SPAN_WORDS = {
    "en": (("day", "days"), ("hour", "hours"), ("minute", "minutes"), ("second", "seconds")),
    "id": (("hari", "hari"), ("jam", "jam"), ("menit", "menit"), ("detik", "detik")),
}
_NO_SPAN = {"en": "less than a second", "id": "kurang dari satu detik"}
_ONE = Decimal(1)
_THOUSAND = Decimal(1000)
_LONGEST_CODE = 12
_LONGEST_REMEMBERED = 40
_LONGEST_SEPARATOR = 32
_LARGEST_POWER = 20  # of ten; "1e999999999" would otherwise be written out in full


def money(amount: object, currency: object, language: str) -> str:
    """An amount (a number or its decimal text) with its ISO 4217 code: `Rp 150.000` in id, `US$12.50` in en.

    Rounds half up to the currency's digits, and holds together at the end of a line. What is no amount comes back as
    it stands, with the currency behind it.
    """
    if isinstance(amount, str) and len(amount) <= _LONGEST_REMEMBERED and isinstance(currency, str):
        return _money_again(amount, currency[:_LONGEST_CODE], language)
    return _money(amount, _as_it_stands(currency)[:_LONGEST_CODE], language)


def _money(amount: object, currency: str, language: str) -> str:
    code = currency.strip().upper()
    digits = _DIGITS.get(code, 2)
    if (figures := _exact_figures(amount, digits)) is not None:
        return _with_symbol(figures, code, language)
    number = _decimal(amount)
    if number is None:
        return f"{_as_it_stands(amount)} {code}".strip()
    if digits == 0 and code == "IDR" and number != number.to_integral_value():
        digits = 2
    units = int(abs(number).scaleb(digits).quantize(_ONE, rounding=ROUND_HALF_UP))
    whole, rest = divmod(units, 10**digits)
    figures = f"{whole:,}.{rest:0{digits}}" if digits else f"{whole:,}"
    return ("-" if number < 0 and units else "") + _with_symbol(figures, code, language)


def _exact_figures(amount: object, digits: int) -> str | None:
    """The figures of an amount that needs no rounding, as nearly all come: in a third of the time of a Decimal."""
    if not isinstance(amount, str) or not amount.isascii():
        return None
    whole, point, rest = amount.partition(".")
    if not whole.isdecimal() or len(whole) > _LARGEST_POWER or len(rest) > digits or (point and not rest.isdecimal()):
        return None
    return f"{int(whole):,}.{rest:0<{digits}}" if digits else f"{int(whole):,}"


def _with_symbol(figures: str, code: str, language: str) -> str:
    return f"{_SYMBOLS.get(code) or (code and f'{code}{NO_BREAK}')}{_separated(figures, language)}"


_money_again = lru_cache(maxsize=1024)(_money)
"""One amount is said several times: in title and body, as text and as HTML, and on each channel."""


def number(value: object, language: str) -> str:
    """A number with its thousands apart: `1,234.5` in en, `1.234,5` in id. At most three decimals, none for show."""
    read = _decimal(value)
    return _as_it_stands(value) if read is None else _figures(read, 3, language)


def percent(value: object, language: str) -> str:
    """A number of percent: `12.5%` in en, `12,5%` in id. At most two decimals."""
    read = _decimal(value)
    return _as_it_stands(value) if read is None else f"{_figures(read, 2, language)}%"


def size(value: object, language: str) -> str:
    """A number of bytes: `1.2 GB` in en, `1,2 GB` in id. Units are powers of 1000; at most one decimal."""
    read = _decimal(value)
    if read is None:
        return _as_it_stands(value)
    unit = 0
    while unit < len(_BYTE_UNITS) - 1 and abs(_rounded(read, 1 if unit else 0)) >= _THOUSAND:
        read /= _THOUSAND
        unit += 1
    return f"{_figures(read, 1 if unit else 0, language)} {_BYTE_UNITS[unit]}"


def duration(seconds: object, language: str) -> str:
    """A span as it is said: `3 minutes`, `1 hour 5 minutes`; `3 menit` in id. The largest unit and the next."""
    read = _decimal(seconds)
    if read is None or read < 0:
        return _as_it_stands(seconds)
    if 0 < read < 1:
        return _NO_SPAN.get(language, _NO_SPAN["en"])
    words = _SPAN_WORDS.get(language, _SPAN_WORDS["en"])
    left = int(_rounded(read, 0))
    unit = next((at for at, span in enumerate(_SPANS) if left >= span), len(_SPANS) - 1)
    count, left = divmod(left, _SPANS[unit])
    said = _counted(count, words[unit], language)
    if left and (next_count := left // _SPANS[unit + 1]):
        said += f" {_counted(next_count, words[unit + 1], language)}"
    return said


def plural(count: object, one: object = "", many: object = None) -> str:
    """The word for this many: `one` for 1 and -1, else `many`, which is `one` where it is not given."""
    read = _decimal(count)
    return _as_it_stands(one if many is None or (read is not None and abs(read) == 1) else many)


def joined(values: object, separator: object = "") -> str:
    """The values of a list, with at most 32 characters between each two. What is no list comes back as it stands."""
    if not isinstance(values, list | tuple):
        return _as_it_stands(values)
    return _as_it_stands(separator)[:_LONGEST_SEPARATOR].join(map(_as_it_stands, values))


def moment(value: object, zone: object, language: str) -> str:
    """An ISO 8601 moment in a time zone: `12 Nov 2026, 14:05 WIB`. Without an offset it is taken as UTC.

    `zone` is an IANA name; an unknown one counts as UTC. What is no moment comes back as it stands.
    """
    if isinstance(value, str) and len(value) <= _LONGEST_REMEMBERED and isinstance(zone, str):
        return _moment_again(value, zone, language)
    return _moment(value, zone, language)


def _moment(value: object, zone: object, language: str) -> str:
    local = _local(value, zone)
    if local is None:
        return _as_it_stands(value)
    return f"{_day(local, language)}, {local.hour:02}:{local.minute:02} {_abbreviation(local)}"


_moment_again = lru_cache(maxsize=1024)(_moment)


def day(value: object, zone: object, language: str) -> str:
    """The day of an ISO 8601 moment in a time zone: `12 Nov 2026`. A plain date is that date in every zone."""
    read = _date(value) or _local(value, zone)
    return _as_it_stands(value) if read is None else _day(read, language)


def days_until(value: object, since: object, zone: object) -> int | str:
    """Whole days from one ISO 8601 moment to a later one, to the nearest, at least 0. To a plain date: by the calendar.

    A few seconds between the fact and its event must not turn "in 3 days" into "in 2 days": so nearest, and not down.
    """
    last, first = _date(value), _local(since, zone)
    if last is not None and first is not None:
        return max(0, (last - first.date()).days)
    return _until(value, since, timedelta(days=1))


def minutes_until(value: object, since: object) -> int | str:
    """Whole minutes from one ISO 8601 moment to a later one, to the nearest, at least 0."""
    return _until(value, since, timedelta(minutes=1))


def _as_it_stands(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _counted(count: int, words: tuple[str, str], language: str) -> str:
    return f"{number(count, language)} {plural(count, *words)}"


def _separated(figures: str, language: str) -> str:
    return figures.translate(_TO_INDONESIAN) if language == "id" else figures


def _figures(value: Decimal, decimals: int, language: str) -> str:
    """A number with its thousands apart, and at most so many decimals."""
    figures = f"{_rounded(value, decimals):,f}"
    if "." in figures:
        figures = figures.rstrip("0").rstrip(".")
    return _separated(figures, language)


def _rounded(value: Decimal, decimals: int) -> Decimal:
    """Half up, and never minus nought."""
    return value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP) + 0


def _decimal(amount: object) -> Decimal | None:
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        return None
    try:
        number = Decimal(str(amount).strip())
    except (InvalidOperation, ValueError):
        return None
    if not number.is_finite() or abs(number.adjusted()) > _LARGEST_POWER:
        return None
    return number


def _until(value: object, since: object, unit: timedelta) -> int | str:
    last, first = _local(value, "UTC"), _local(since, "UTC")
    if last is None or first is None:
        return _as_it_stands(value)
    return max(0, ((last - first) * 2 + unit) // (2 * unit))


def _date(value: object) -> date | None:
    """A plain date such as `2026-11-12`, and nothing that has a time."""
    text = str(value).strip()
    try:
        return date.fromisoformat(text) if len(text) == len("2026-11-12") else None
    except ValueError:
        return None


def _local(value: object, zone: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(value).strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(_zone(str(zone)))
    except (ValueError, OverflowError):
        return None


def _day(local: date, language: str) -> str:
    return f"{local.day} {_MONTHS.get(language, _MONTHS['en'])[local.month - 1]} {local.year}"


@lru_cache(maxsize=1024)
def _zone(name: str) -> tzinfo:
    """The zone's rules. Reads the zone database at the first use of a name, which is data and not a service."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC


def _abbreviation(local: datetime) -> str:
    """`WIB`, `CET`, `UTC`; where the zone has no letters of its own (`+0530`), `UTC+5:30`."""
    name = local.tzname() or "UTC"
    if name[0] not in "+-":
        return name
    minutes = (local.utcoffset() or timedelta()) // timedelta(minutes=1)
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{name[0]}{hours}" + (f":{rest:02}" if rest else "")
