"""Artists and their songs: from the sign-in and the upload to the release."""

from pydantic import AwareDatetime, HttpUrl

from schemas.catalogue import EventData, PersonId, Priority, Route


class UserLogin(
    EventData,
    type="user.login",
    category="music",
    routes=(Route("user", Priority.LOW, "inbox"),),
):
    """Somebody signed in to the person's account at `at`, from the address and device given."""

    user_id: PersonId
    ip: str
    device: str | None = None
    at: AwareDatetime


class SongUploaded(
    EventData,
    type="song.uploaded",
    category="music",
    routes=(Route("user", Priority.NORMAL, "inbox"),),
):
    """A song's upload is complete; it has not been submitted for review yet."""

    user_id: PersonId
    song_id: str
    song_title: str


class SongSubmitted(
    EventData,
    type="song.submitted",
    category="music",
    routes=(
        Route("user", Priority.NORMAL, "inbox email"),
        Route("admins", Priority.HIGH, "inbox email"),
    ),
):
    """An artist submitted a song for review; only admins are shown `admin_review_url`."""

    user_id: PersonId
    song_id: str
    song_title: str
    artist_name: str
    admin_review_url: HttpUrl | None = None


class SongApproved(
    EventData,
    type="song.approved",
    category="music",
    routes=(Route("user", Priority.HIGH, "inbox email"),),
):
    """A song passed its review and is ready for distribution."""

    user_id: PersonId
    song_id: str
    song_title: str


class SongRejected(
    EventData,
    type="song.rejected",
    category="music",
    routes=(Route("user", Priority.HIGH, "inbox email"),),
):
    """A song did not pass its review; `reason` is shown to the artist as it stands."""

    user_id: PersonId
    song_id: str
    song_title: str
    reason: str


class SongDistributed(
    EventData,
    type="song.distributed",
    category="music",
    routes=(Route("user", Priority.NORMAL, "inbox email"),),
):
    """A song is out on the platforms named."""

    user_id: PersonId
    song_id: str
    song_title: str
    platforms: list[str]
