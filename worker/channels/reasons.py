"""Why somebody got a mail and how to get fewer, in the languages the built-in texts speak. Pure words, no markup.

A category or language that is not here gets words that are always true, the language's English ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Reason:
    """What stands under a mail: why it came, and what the link to the settings is called."""

    why: str
    label: str


@lru_cache(maxsize=1024)
def reason(brand: str, locale: str, category: str, audience: str, *, critical: bool, has_link: bool) -> Reason:
    """The words under one mail, in its language where we speak it."""
    words = _LANGUAGES.get(locale.replace("_", "-").partition("-")[0].lower(), _ENGLISH)
    why = words.told.get(audience) or words.about.get(category) or words.otherwise
    then = [words.critical] if critical else [] if has_link else [words.elsewhere]
    said = " ".join([why, *then]).replace("{brand}", brand)
    return Reason(said, words.settings if critical else words.unsubscribe)


@dataclass(frozen=True, slots=True)
class _Words:
    """A mail's foot in one language. `{brand}` stands for the product's name.

    `about`: by category; `told`: by audience, where that says more than the category. `settings` labels the link in
    a mail that must be sent, `unsubscribe` in any other; `elsewhere` stands where there is no link.
    """

    about: dict[str, str]
    told: dict[str, str]
    otherwise: str
    critical: str
    settings: str
    unsubscribe: str
    elsewhere: str


_ENGLISH = _Words(
    about={
        "stream": "You're getting this because you stream with {brand}.",
        "video": "You're getting this because you publish videos with {brand}.",
        "account": "You're getting this because you have connected an account to {brand}.",
        "strike": "You're getting this because {brand} watches your channels for strikes.",
        "billing": "You're getting this because it's about your payments and membership at {brand}.",
        "system": "You're getting this because it's about your {brand} account.",
        "channel": "You're getting this because {brand} keeps an eye on your channels.",
        "order": "You're getting this because it's about an order at {brand}.",
        "promo": "You're getting this because offers and news from {brand} are switched on for you.",
        "music": "You're getting this because you release music with {brand}.",
        "community": "You're getting this because you're part of the {brand} community.",
    },
    told={
        "admins": "You're getting this because you're an admin of {brand}.",
        "followers": "You're getting this because you follow this at {brand}.",
        "participants": "You're getting this because you're part of this conversation at {brand}.",
        "everyone": "You're getting this because you have an account at {brand}. It went to everyone.",
    },
    otherwise="You're getting this because you have an account at {brand}.",
    critical="It's important, so it can't be switched off.",
    settings="Notification settings",
    unsubscribe="Change what you get, or unsubscribe",
    elsewhere="To get fewer of these, change your notification settings in {brand}.",
)
_INDONESIAN = _Words(
    about={
        "stream": "Kamu menerima ini karena kamu streaming dengan {brand}.",
        "video": "Kamu menerima ini karena kamu menerbitkan video dengan {brand}.",
        "account": "Kamu menerima ini karena kamu menghubungkan akun ke {brand}.",
        "strike": "Kamu menerima ini karena {brand} memantau strike di channel kamu.",
        "billing": "Kamu menerima ini karena menyangkut pembayaran dan membership kamu di {brand}.",
        "system": "Kamu menerima ini karena menyangkut akun {brand} kamu.",
        "channel": "Kamu menerima ini karena {brand} memantau channel kamu.",
        "order": "Kamu menerima ini karena menyangkut pesanan di {brand}.",
        "promo": "Kamu menerima ini karena promo dan kabar dari {brand} aktif untuk kamu.",
        "music": "Kamu menerima ini karena kamu merilis musik dengan {brand}.",
        "community": "Kamu menerima ini karena kamu bagian dari komunitas {brand}.",
    },
    told={
        "admins": "Kamu menerima ini karena kamu admin {brand}.",
        "followers": "Kamu menerima ini karena kamu mengikuti ini di {brand}.",
        "participants": "Kamu menerima ini karena kamu ikut dalam percakapan ini di {brand}.",
        "everyone": "Kamu menerima ini karena kamu punya akun di {brand}. Pesan ini dikirim ke semua orang.",
    },
    otherwise="Kamu menerima ini karena kamu punya akun di {brand}.",
    critical="Ini penting, jadi tidak bisa dimatikan.",
    settings="Pengaturan notifikasi",
    unsubscribe="Atur notifikasi atau berhenti berlangganan",
    elsewhere="Mau lebih sedikit notifikasi? Ubah pengaturan notifikasi kamu di {brand}.",
)
_LANGUAGES = {"en": _ENGLISH, "id": _INDONESIAN}
