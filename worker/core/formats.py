"""Money, numbers, sizes and spans as people write them, in the languages the built-in texts speak.

Pure, and total: nothing raises. A value that cannot be read is given back as it stands, because a notification with
an odd amount is better than none. Knows English and Indonesian; any other language gets the English forms. Small on
purpose: Babel would be 33 MB for these few questions.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

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
_LONGEST_SEPARATOR = 32
_LARGEST_POWER = 20  # of ten; "1e999999999" would otherwise be written out in full


def money(amount: object, currency: object, language: str) -> str:
    """An amount (a number or its decimal text) with its ISO 4217 code: `Rp 150.000` in id, `US$12.50` in en.

    Rounds half up to the currency's digits, and holds together at the end of a line. What is no amount comes back as
    it stands, with the currency behind it.
    """
    code = as_it_stands(currency)[:_LONGEST_CODE].strip().upper()
    digits = _DIGITS.get(code, 2)
    if (figures := _exact_figures(amount, digits)) is not None:
        return _with_symbol(figures, code, language)
    number = _decimal(amount)
    if number is None:
        return f"{as_it_stands(amount)} {code}".strip()
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
    if not whole.isdecimal() or len(whole) > _LARGEST_POWER or (point and not rest.isdecimal()):
        return None
    if len(rest) > digits and len(rest := rest.rstrip("0")) > digits:  # "150000.00" is as exact in IDR as "150000"
        return None
    return f"{int(whole):,}.{rest:0<{digits}}" if digits else f"{int(whole):,}"


def _with_symbol(figures: str, code: str, language: str) -> str:
    return f"{_SYMBOLS.get(code) or (code and f'{code}{NO_BREAK}')}{_separated(figures, language)}"


def number(value: object, language: str) -> str:
    """A number with its thousands apart: `1,234.5` in en, `1.234,5` in id. At most three decimals, none for show."""
    read = _decimal(value)
    return as_it_stands(value) if read is None else _figures(read, 3, language)


def percent(value: object, language: str) -> str:
    """A number of percent: `12.5%` in en, `12,5%` in id. At most two decimals."""
    read = _decimal(value)
    return as_it_stands(value) if read is None else f"{_figures(read, 2, language)}%"


def size(value: object, language: str) -> str:
    """A number of bytes: `1.2 GB` in en, `1,2 GB` in id. Units are powers of 1000; at most one decimal."""
    read = _decimal(value)
    if read is None:
        return as_it_stands(value)
    unit = 0
    while unit < len(_BYTE_UNITS) - 1 and abs(_rounded(read, 1 if unit else 0)) >= _THOUSAND:
        read /= _THOUSAND
        unit += 1
    return f"{_figures(read, 1 if unit else 0, language)} {_BYTE_UNITS[unit]}"


def duration(seconds: object, language: str) -> str:
    """A span as it is said: `3 minutes`, `1 hour 5 minutes`; `3 menit` in id. The largest unit and the next."""
    read = _decimal(seconds)
    if read is None or read < 0:
        return as_it_stands(seconds)
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
    return as_it_stands(one if many is None or (read is not None and abs(read) == 1) else many)


def joined(values: object, separator: object = "") -> str:
    """The values of a list, with at most 32 characters between each two. What is no list comes back as it stands."""
    if not isinstance(values, list | tuple):
        return as_it_stands(values)
    return as_it_stands(separator)[:_LONGEST_SEPARATOR].join(map(as_it_stands, values))


def as_it_stands(value: object) -> str:
    """What a text prints of a value that nobody formats."""
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
