"""Accounts at other providers that a person has connected: access that ends, quotas that run out."""

from pydantic import AwareDatetime

from schemas.catalogue import EventData, PersonId, Priority, Route


class AccountTokenExpiring(
    EventData,
    type="account.token_expiring",
    category="account",
    routes=(Route("user", Priority.HIGH, "inbox email"),),
):
    """The access to a connected account ends soon, unless its owner signs in there again."""

    user_id: PersonId
    account: str
    provider: str
    expires_at: AwareDatetime


class AccountTokenExpired(
    EventData,
    type="account.token_expired",
    category="account",
    routes=(Route("user", Priority.URGENT, "inbox email telegram"),),
):
    """The access to a connected account has ended: nothing works there until its owner signs in again."""

    user_id: PersonId
    account: str
    provider: str
    expired_at: AwareDatetime


class AccountQuotaWarning(
    EventData,
    type="account.quota_warning",
    category="account",
    routes=(Route("user", Priority.HIGH, "inbox email"),),
):
    """A connected account has used much of its quota, or all of it; `used` and `limit` count the same unit."""

    user_id: PersonId
    account: str
    used: int
    limit: int
    resets_at: AwareDatetime | None = None
