"""How a locale is written and which language it is of. Pure."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1024)
def normal(locale: str) -> str:
    """One spelling for a locale: `pt-br` for `pt_BR`."""
    return locale.replace("_", "-").lower()


@lru_cache(maxsize=1024)
def language(locale: str) -> str:
    """The language of a locale: `pt` for `pt_BR`."""
    return normal(locale).partition("-")[0]
