"""What Kabar knows of each event type: its payload, category, criticality, routes and expiry.

A type is one small class: fields are the payload, class arguments are the rest.

    class PaymentFailed(EventData, type="payment.failed", category="billing", critical=True,
                        routes=(Route("user", Priority.HIGH, "inbox email telegram sms"),)):
        user_id: PersonId
        amount: Decimal
"""

from __future__ import annotations

import builtins
import importlib
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import ModuleType
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, PydanticUndefinedAnnotation, StringConstraints

PersonId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\s\x00-\x1f\x7f]+$")]
DEFAULT_EXPIRY = timedelta(days=30)
RESERVED_FIELDS = frozenset({"person", "event"})
CHANNELS = ("inbox", "email", "telegram", "slack", "sms", "whatsapp", "webpush")
"""The channels that a route or an address can be of. A deployment switches on some of them."""
_TYPE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?", re.ASCII)
_CATEGORY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
"""What a preference can name."""


class Priority(StrEnum):
    """How pressing a notification is. Urgent ignores quiet hours and digests; low travels in the bulk lane."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class Lane(StrEnum):
    """Queues that cannot hold each other up."""

    URGENT = "urgent"
    NORMAL = "normal"
    BULK = "bulk"


LANE_OF: dict[Priority, Lane] = {
    Priority.LOW: Lane.BULK,
    Priority.NORMAL: Lane.NORMAL,
    Priority.HIGH: Lane.NORMAL,
    Priority.URGENT: Lane.URGENT,
}


AudienceKind = Literal["user", "admins", "envelope", "followers", "participants", "everyone"]


class Route:
    """One audience of an event type, with its own text, priority and channels.

    `audience`: `user` (the payload's `user_id`), `admins` (everyone with role admin), `followers` (of the `topic`, such
    as GROUP, that the payload's `<topic>_id` names), `participants` (the other members of a room), `everyone`, or
    `envelope` (only whom the event's own `audience` attribute names). `channels`: the default channels before
    preferences, in order.
    """

    __slots__ = ("audience", "channels", "priority", "topic")

    def __init__(self, audience: AudienceKind, priority: Priority, channels: str, *, topic: str = "") -> None:
        self.audience = audience
        self.topic = topic
        self.priority = priority
        self.channels = tuple(dict.fromkeys(channels.split()))
        if audience not in get_args(AudienceKind):
            raise ValueError(f"there is no audience {audience!r}: {', '.join(get_args(AudienceKind))}")
        if unknown := [name for name in self.channels if name not in CHANNELS]:
            raise ValueError(f"there is no channel {unknown[0]!r}: {', '.join(CHANNELS)}")


@dataclass(frozen=True, slots=True)
class EventInfo:
    """The facts of one event type. `type` may end in `.*`: then it stands for every type with that beginning."""

    type: str
    category: str
    critical: bool
    expires: timedelta
    version: int
    routes: tuple[Route, ...]
    retention: timedelta | None
    """How long its events are kept, with all that came of them; None: as long as KABAR_RETENTION_DAYS says."""
    update_key: str
    """The field that says what the event is about: a later one about the same replaces it where a medium can; or ''."""
    model: builtins.type[EventData]

    @property
    def lane(self) -> Lane:
        """The intake lane: that of the most pressing route. A type without routes is a fact for the directory."""
        order = [Lane.BULK, Lane.NORMAL, Lane.URGENT]
        lanes = [LANE_OF[route.priority] for route in self.routes]
        return max(lanes, key=order.index, default=Lane.NORMAL)

    @property
    def text_key(self) -> str:
        """The name its texts are filed under: the type, without the `.*` of an open one."""
        return self.type.removesuffix(".*")

    @property
    def binding(self) -> str:
        """The topic pattern that catches the type's routing keys."""
        return f"{self.text_key}.#" if self.type.endswith(".*") else self.type


_DEFAULTS: Mapping[str, object] = {
    "routes": (),
    "critical": False,
    "expires": DEFAULT_EXPIRY,
    "version": 1,
    "retention": None,
    "update_key": "",
}


class EventData(BaseModel):
    """The payload of an event; subclass it to add a type. Producers get an error for a field it does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=False)

    info: ClassVar[EventInfo]

    def __init_subclass__(  # names the class arguments for type checkers; pydantic hands the same to the hook below
        cls,
        *,
        type: str = "",  # noqa: A002 - the field's own word, as in CloudEvents
        category: str = "",
        routes: tuple[Route, ...] = (),
        critical: bool = False,
        expires: timedelta = DEFAULT_EXPIRY,
        version: int = 1,
        retention: timedelta | None = None,
        update_key: str = "",
    ) -> None:
        super().__init_subclass__()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if "type" not in kwargs:
            return  # a shared base, not an event
        facts: dict[str, Any] = {**_DEFAULTS, **kwargs}
        for name, pattern in (("type", _TYPE), ("category", _CATEGORY)):
            if not pattern.fullmatch(facts.get(name, "")):
                said = f"{cls.__name__}: {facts.get(name, '')!r} is no {name} that a preference could name"
                raise ValueError(f"{said}; use letters, digits, _ and -")
        cls.info = EventInfo(model=cls, **facts)
        clash = RESERVED_FIELDS & cls.model_fields.keys()
        if clash:
            raise TypeError(f"{cls.__name__}: the field {min(clash)!r} is taken by templates; rename it")
        if len({route.audience for route in cls.info.routes}) < len(cls.info.routes):
            raise TypeError(f"{cls.__name__}: two routes have the same audience; make them one")
        if any(route.audience == "user" for route in cls.info.routes) and "user_id" not in cls.model_fields:
            raise TypeError(f"{cls.__name__}: a route to `user` needs a field `user_id`")
        if cls.info.update_key and cls.info.update_key not in cls.model_fields:
            raise TypeError(f"{cls.__name__}: there is no field {cls.info.update_key!r} to be its update_key")


class Catalogue:
    """All event types one deployment knows. Immutable after it is made."""

    def __init__(self, models: Iterable[type[EventData]]) -> None:
        self._exact: dict[str, EventInfo] = {}
        self._open: list[EventInfo] = []
        for model in models:
            self._add(model.info)

    @classmethod
    def of_modules(cls, names: Iterable[str]) -> Catalogue:
        """Import the modules named and collect every event type they define, theirs and not what they import.

        Raises ValueError where one cannot be imported, whatever its code raises, or where a type of it cannot be used.
        """
        found: dict[type[EventData], None] = {}
        for name in names:
            models = list(_models_in(_imported(name)))
            if not models:
                raise ValueError(f"module {name!r} defines no event type; name the module that does")
            found |= dict.fromkeys(models)
        return cls(found)

    def find(self, event_type: str) -> EventInfo | None:
        """Answer the entry for a concrete type: its own, or the longest open one (`custom.*`) it begins with."""
        exact = self._exact.get(event_type)
        if exact is not None:
            return exact
        for info in self._open:
            if event_type.startswith(info.type[:-1]):
                return info
        return None

    def __iter__(self) -> Iterator[EventInfo]:
        yield from self._exact.values()
        yield from self._open

    def _add(self, info: EventInfo) -> None:
        for known in self:
            if known.type == info.type:
                both = f"by {_name_of(known.model)} and by {_name_of(info.model)}"
                raise ValueError(f"event type {info.type!r} is defined twice, {both}; rename one of them")
        if info.type.endswith(".*"):
            self._open.append(info)
            self._open.sort(key=lambda known: -len(known.type))
        else:
            self._exact[info.type] = info


def _name_of(model: type[EventData]) -> str:
    return f"{model.__module__}.{model.__qualname__}"


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except SyntaxError as error:
        raise ValueError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise ValueError(f"No module named {name!r}; PYTHONPATH has to name the folder it is in") from error
        raise ValueError(f"{_place_of(error, name)}: {type(error).__name__}: {error}") from error


def _place_of(error: Exception, name: str) -> str:
    """Name the line of a product's module that an error comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename != __file__ and frame.name == "<module>"]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else f"module {name!r}"


def _models_in(module: ModuleType) -> Iterator[type[EventData]]:
    for value in vars(module).values():
        if not (isinstance(value, type) and issubclass(value, EventData)):
            continue
        if value.__module__ == module.__name__ and "info" in vars(value):
            try:
                value.model_rebuild()
            except PydanticUndefinedAnnotation as error:
                raise ValueError(f"{_name_of(value)}: a field's type is unknown: {error.message}") from error
            yield value
