"""People among people: messages, comments, posts, courses, meetings, followers, badges, commissions and reviews."""

from decimal import Decimal

from pydantic import AwareDatetime, HttpUrl

from schemas.catalogue import EventData, PersonId, Priority, Route


class ChatMessage(
    EventData,
    type="chat.message",
    category="community",
    routes=(Route("participants", Priority.NORMAL, "inbox webpush"),),
):
    """Somebody wrote in a chat room; the room's other members are told, with the beginning of the message."""

    room_id: str
    message_id: str
    sender_id: PersonId
    sender_name: str
    excerpt: str


class CommentCreated(
    EventData,
    type="comment.created",
    category="community",
    routes=(Route("user", Priority.NORMAL, "inbox webpush"),),
):
    """Somebody (`actor_name`) replied to the comment that `user_id` wrote on a post."""

    user_id: PersonId
    post_id: str
    comment_id: str
    actor_name: str
    excerpt: str
    url: HttpUrl | None = None


class PostCreated(
    EventData,
    type="post.created",
    category="community",
    routes=(Route("followers", Priority.LOW, "inbox webpush", topic="GROUP"),),
):
    """Somebody posted in a group; the group's followers are told."""

    group_id: str
    group_name: str
    post_id: str
    actor_name: str
    url: HttpUrl | None = None


class CourseDiscussion(
    EventData,
    type="course.discussion",
    category="community",
    routes=(Route("followers", Priority.LOW, "inbox email", topic="COURSE"),),
):
    """Somebody commented on a module of a course; the course's followers are told."""

    course_id: str
    module: str
    actor_name: str
    excerpt: str
    url: HttpUrl | None = None


class EventReminder(
    EventData,
    type="event.reminder",
    category="community",
    routes=(Route("followers", Priority.HIGH, "inbox email whatsapp webpush", topic="EVENT"),),
):
    """A meeting, class or show begins soon; its followers are told how many minutes are left at the event's `time`."""

    event_id: str
    title: str
    starts_at: AwareDatetime
    url: HttpUrl | None = None


class FollowerNew(
    EventData,
    type="follower.new",
    category="community",
    routes=(Route("user", Priority.LOW, "inbox webpush"),),
):
    """Somebody (`actor_id`) began to follow `user_id`."""

    user_id: PersonId
    actor_id: PersonId
    actor_name: str
    actor_avatar: HttpUrl | None = None


class AchievementEarned(
    EventData,
    type="achievement.earned",
    category="community",
    routes=(Route("user", Priority.NORMAL, "inbox"),),
):
    """A person earned a badge; `badge` is its name as people read it, `image` its picture."""

    user_id: PersonId
    badge: str
    image: HttpUrl | None = None


class AffiliateCommission(
    EventData,
    type="affiliate.commission",
    category="community",
    routes=(Route("user", Priority.NORMAL, "inbox email whatsapp"),),
):
    """A sale that an affiliate brought earned them a commission of `amount`."""

    user_id: PersonId
    amount: Decimal
    currency: str
    order_code: str | None = None


class ProductReview(
    EventData,
    type="product.review",
    category="community",
    routes=(Route("user", Priority.NORMAL, "inbox email"),),
):
    """A customer reviewed a product of `user_id`, the seller; `rating` counts stars."""

    user_id: PersonId
    product_id: str
    product_name: str
    rating: int
    reviewer: str
    url: HttpUrl | None = None


class ContentUpdated(
    EventData,
    type="content.updated",
    category="community",
    routes=(Route("followers", Priority.LOW, "inbox email", topic="COURSE"),),
):
    """A course has a new class, called `title`; the course's followers are told."""

    course_id: str
    title: str
    url: HttpUrl | None = None
