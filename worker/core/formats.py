"""Money and moments as people write them, in the languages the built-in texts speak. Pure, and total: nothing raises.

A value that cannot be read is given back as it stands, because a notification with an odd amount is better than
none. Knows English and Indonesian; any other language gets the English forms. Small on purpose: Babel would be
33 MB for these two questions.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from zoneinfo import ZoneInfo

_SYMBOLS = {
    "AUD": "A$",
    "BRL": "R$",
    "CAD": "CA$",
    "CNY": "CN¥",
    "EUR": "€",
    "GBP": "£",
    "HKD": "HK$",
    "IDR": "Rp ",
    "INR": "₹",
    "JPY": "¥",
    "KRW": "₩",
    "MYR": "RM ",
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
_LARGEST_POWER = 20  # of ten; "1e999999999" would otherwise be written out in full


def money(amount: object, currency: object, language: str) -> str:
    """An amount (a number or its decimal text) with its ISO 4217 code: `Rp 150.000` in id, `US$12.50` in en.

    Rounds half up to the currency's digits. What is no amount comes back as it stands, with the currency behind it.
    """
    code = str(currency).strip().upper()
    number = _decimal(amount)
    if number is None:
        return f"{amount} {code}".strip()
    digits = _DIGITS.get(code, 2)
    if digits == 0 and code == "IDR" and number != number.to_integral_value():
        digits = 2
    rounded = number.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    figures = f"{abs(rounded):,.{digits}f}"
    if language == "id":
        figures = figures.translate(_TO_INDONESIAN)
    symbol = _SYMBOLS.get(code, f"{code} ".lstrip())
    sign = "-" if rounded < 0 else ""
    return f"{sign}{symbol}{figures}"


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


def moment(value: object, zone: str, language: str) -> str:
    """An ISO 8601 moment in a time zone: `12 Nov 2026, 14:05 WIB`. Without an offset it is taken as UTC.

    `zone` is an IANA name; an unknown one counts as UTC. What is no moment comes back as it stands.
    """
    try:
        at = datetime.fromisoformat(str(value).strip())
        local = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(_zone(zone))
    except (ValueError, OverflowError):
        return str(value)
    month = _MONTHS.get(language, _MONTHS["en"])[local.month - 1]
    return f"{local.day} {month} {local.year}, {local.hour:02}:{local.minute:02} {_abbreviation(local)}"


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
