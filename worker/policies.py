"""What deciding must know of each channel, from the settings: how often it is tried, what becomes of the unsure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from schemas.catalogue import Catalogue
from worker.core.outcome import UnsurePolicy
from worker.core.plan import ChannelRule
from worker.errors import SettingsInvalid
from worker.settings import Settings


def rules_for(settings: Settings, own: Mapping[str, UnsurePolicy], catalogue: Catalogue) -> dict[str, ChannelRule]:
    """Make each channel's rule; `own` is the policy its medium suggests, which every word of KABAR_ON_UNSURE overrides.

    Raises SettingsInvalid where KABAR_ON_UNSURE names a channel that is off, or a category that no event has.
    """
    _check(settings, own.keys(), catalogue)
    return {name: _rule(settings, name, suggested) for name, suggested in own.items()}


def _check(settings: Settings, channels: Collection[str], catalogue: Catalogue) -> None:
    categories = {info.category for info in catalogue}
    for channel, dot, category in (key.partition(".") for key in sorted(settings.on_unsure)):
        if channel not in channels:
            raise SettingsInvalid(f"KABAR_ON_UNSURE names {channel}, which KABAR_CHANNELS does not switch on")
        if dot and category not in categories:
            known = ", ".join(sorted(categories))
            raise SettingsInvalid(f"KABAR_ON_UNSURE names the category {category!r}; the categories are {known}")


def _rule(settings: Settings, name: str, suggested: UnsurePolicy) -> ChannelRule:
    given = settings.on_unsure.get(name)
    return ChannelRule(
        settings.attempt_limit,
        given or suggested,
        needs_address=name != "inbox",
        on_unsure_critical=given or UnsurePolicy.RESEND,
        on_unsure_of={
            key.removeprefix(f"{name}."): policy
            for key, policy in settings.on_unsure.items()
            if key.startswith(f"{name}.")
        },
    )
