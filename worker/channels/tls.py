"""Whom this process trusts when it speaks to a provider: whoever the machine's certificates vouch for."""

from __future__ import annotations

import ssl
from functools import cache


@cache
def trust() -> ssl.SSLContext:
    """Answer the one context of all channels.

    Reading the machine's certificates takes a tenth of a second: once, at the start, and not on the loop.
    """
    return ssl.create_default_context()
