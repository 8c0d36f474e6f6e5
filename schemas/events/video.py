"""Videos on their way from a file to the public."""

from pydantic import HttpUrl

from schemas.catalogue import EventData, PersonId, Priority, Route


class VideoUploaded(
    EventData,
    type="video.uploaded",
    category="video",
    routes=(Route("user", Priority.NORMAL, "inbox email"),),
):
    """A video's file has arrived whole and is about to be processed."""

    user_id: PersonId
    video_id: str
    title: str
    url: HttpUrl | None = None


class VideoPublished(
    EventData,
    type="video.published",
    category="video",
    routes=(Route("user", Priority.NORMAL, "inbox email telegram"),),
):
    """A video can be watched by its audience, at `url`."""

    user_id: PersonId
    video_id: str
    title: str
    url: HttpUrl


class VideoProcessingFailed(
    EventData,
    type="video.processing_failed",
    category="video",
    routes=(Route("user", Priority.HIGH, "inbox email telegram"),),
):
    """A video could not be processed and will not be published; `error` is a sentence its owner understands."""

    user_id: PersonId
    video_id: str
    title: str
    error: str
