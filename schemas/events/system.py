"""The platform itself: for those who run it, and for everybody when it goes down or somebody is at risk."""

from pydantic import AwareDatetime, HttpUrl

from schemas.catalogue import EventData, PersonId, Priority, Route


class SystemError(  # noqa: A001 - named after its event type, as every class here
    EventData,
    type="system.error",
    category="system",
    critical=True,
    routes=(Route("admins", Priority.URGENT, "inbox email slack telegram"),),
):
    """A service reports an error that an operator must see."""

    service: str
    error: str
    severity: str
    trace_id: str | None = None


class SecurityAlert(
    EventData,
    type="security.alert",
    category="system",
    critical=True,
    routes=(
        Route("user", Priority.URGENT, "inbox email sms"),
        Route("admins", Priority.HIGH, "inbox slack"),
    ),
):
    """Something happened to a person's account that they should check at once; `alert` says what, in a few words."""

    user_id: PersonId
    alert: str
    ip: str | None = None
    location: str | None = None
    at: AwareDatetime


class BackupCompleted(
    EventData,
    type="backup.completed",
    category="system",
    routes=(Route("admins", Priority.LOW, "inbox"),),
):
    """A backup finished and can be restored from."""

    backup_id: str
    size_bytes: int | None = None
    duration_seconds: int | None = None


class BackupFailed(
    EventData,
    type="backup.failed",
    category="system",
    critical=True,
    routes=(Route("admins", Priority.URGENT, "inbox email slack telegram"),),
):
    """A backup did not finish, so recent data is not protected."""

    backup_id: str
    error: str


class SystemMaintenance(
    EventData,
    type="system.maintenance",
    category="system",
    routes=(Route("everyone", Priority.NORMAL, "inbox email"),),
):
    """The system will be unavailable, as planned, between two moments."""

    starts_at: AwareDatetime
    ends_at: AwareDatetime
    reason: str | None = None


class AdminAlert(
    EventData,
    type="admin.alert",
    category="system",
    routes=(Route("admins", Priority.HIGH, "inbox email slack"),),
):
    """A message to the administrators in the producer's own words, for what has no type of its own."""

    title: str
    message: str
    url: HttpUrl | None = None
    severity: str | None = None
