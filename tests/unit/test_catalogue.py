"""What the catalogue promises about event types, and that every built-in type has its words."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest

from schemas.catalogue import Catalogue, EventData, Lane, PersonId, Priority, Route
from worker.core.template import Texts
from worker.deployment import BUILT_IN_EVENTS
from worker.texts import BUILT_IN, load_texts

BUILT_INS = Catalogue.of_modules(BUILT_IN_EVENTS)


def make(kind: str, *routes: Route) -> type[EventData]:
    class Made(EventData, type=kind, category="test", routes=routes):
        user_id: PersonId

    return Made


def route(priority: Priority, audience: Literal["user", "admins", "envelope"] = "user") -> Route:
    return Route(audience, priority, "inbox email")


@pytest.fixture(scope="module")
def texts() -> Texts:
    return load_texts(BUILT_IN)


@pytest.mark.parametrize(
    ("priorities", "lane"),
    [
        ([], Lane.NORMAL),
        ([Priority.LOW], Lane.BULK),
        ([Priority.NORMAL], Lane.NORMAL),
        ([Priority.HIGH], Lane.NORMAL),
        ([Priority.URGENT], Lane.URGENT),
        ([Priority.LOW, Priority.HIGH], Lane.NORMAL),
        ([Priority.URGENT, Priority.LOW], Lane.URGENT),
    ],
)
def test_a_type_travels_in_the_lane_of_its_most_pressing_route(priorities: list[Priority], lane: Lane) -> None:
    """An alert that is also a footnote for the admins does not wait with the footnotes."""
    audiences: list[Literal["user", "admins"]] = ["user", "admins"]
    routes = [route(priority, audience) for priority, audience in zip(priorities, audiences, strict=False)]

    assert make("test.lane", *routes).info.lane is lane


def test_an_open_type_stands_for_every_type_with_its_beginning() -> None:
    """custom.greeting is known without a class of its own; the longest beginning wins, and an exact type before it."""
    wide, narrow, exact = make("shop.*"), make("shop.order.*"), make("shop.order.lost")
    catalogue = Catalogue([wide, narrow, exact])

    assert catalogue.find("shop.a.b.c") is wide.info
    assert catalogue.find("shop.order.found") is narrow.info
    assert catalogue.find("shop.order.lost") is exact.info
    for unknown in ("shop", "shopping", "Shop.a", "other", ""):
        assert catalogue.find(unknown) is None


def test_an_open_type_has_one_name_for_its_texts_and_one_for_the_broker() -> None:
    """The `.*` is a catalogue's notation, not a folder's or a broker's."""
    assert (make("shop.*").info.text_key, make("shop.*").info.binding) == ("shop", "shop.#")
    assert (make("shop.lost").info.text_key, make("shop.lost").info.binding) == ("shop.lost", "shop.lost")


def test_a_type_that_is_defined_twice_is_refused() -> None:
    """Neither of the two would be wrong alone; the message names the type, and both classes."""
    with pytest.raises(
        ValueError, match=r"'shop\.lost' is defined twice, by .*make\.<locals>\.Made and by .*Made; rename"
    ):
        Catalogue([make("shop.lost"), make("shop.lost")])
    with pytest.raises(ValueError, match=r"'shop\.\*' is defined twice"):
        Catalogue([make("shop.*"), make("shop.*")])


@pytest.mark.parametrize("name", ["person", "event"])
def test_a_field_that_templates_have_a_meaning_for_is_refused(name: str) -> None:
    """`{{ person.name }}` must not mean two things."""
    with pytest.raises(TypeError, match=f"{name!r} is taken"):
        type("Clash", (EventData,), {"__annotations__": {name: str}, "__module__": __name__}, type="t.x", category="t")


def test_a_route_to_the_user_needs_to_know_who_that_is() -> None:
    """Found when the class is made, not when the first event arrives."""
    with pytest.raises(TypeError, match="user_id"):

        class Nobody(EventData, type="test.nobody", category="test", routes=(route(Priority.LOW),)):
            pass


def test_an_update_key_is_a_field_of_the_event() -> None:
    """Found when the class is made: otherwise no update would ever replace anything."""
    with pytest.raises(TypeError, match="no field 'order'"):

        class Moved(EventData, type="test.moved", category="test", update_key="order"):
            order_code: str


def test_two_routes_of_one_audience_are_refused() -> None:
    """They would be one notification with two priorities; found when the class is made."""
    with pytest.raises(TypeError, match="two routes have the same audience"):
        make("test.twice", route(Priority.LOW), route(Priority.HIGH))


def test_a_channel_named_twice_is_one_channel() -> None:
    """One delivery each."""
    assert Route("user", Priority.LOW, "email inbox email").channels == ("email", "inbox")


def test_a_module_gives_the_types_it_defines_and_not_those_it_imports() -> None:
    """A product's module may build on the built-in types without defining them again."""
    resolved = {"strike.detected", "strike.resolved"}

    assert {info.type for info in Catalogue.of_modules(["schemas.events.strike"])} == resolved
    assert isinstance(__import__("schemas.events.strike"), ModuleType)
    assert {info.type for info in Catalogue.of_modules(["schemas.events.strike"] * 2)} == resolved


def test_kabar_knows_its_first_types() -> None:
    """What a deployment can publish without writing a class."""
    assert {info.type for info in BUILT_INS} >= {
        "stream.started", "stream.disconnected", "payment.failed", "payment.success", "order.shipped", "system.error",
        "custom.*", "person.changed", "person.removed", "preference.changed",
    }  # fmt: skip


@pytest.mark.parametrize("locale", ["en", "id"])
@pytest.mark.parametrize(
    ("kind", "audience"), [(info.text_key, one.audience) for info in BUILT_INS for one in info.routes]
)
def test_every_route_of_every_built_in_type_has_its_words(texts: Texts, kind: str, audience: str, locale: str) -> None:
    """In English and in Indonesian, each in its own file."""
    assert texts.has(kind, audience)
    assert texts.locale_for(kind, audience, locale) == locale


def test_no_built_in_text_is_for_a_type_or_route_that_is_not_there() -> None:
    """A misspelt folder would never be read."""
    wanted = {(info.text_key, one.audience) for info in BUILT_INS for one in info.routes}
    found = {(path.parent.parent.name, path.parent.name) for path in BUILT_IN.rglob("*.txt")}

    assert found == wanted


GOOD = "from schemas.catalogue import EventData, PersonId, Priority, Route\n\n\n"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = = 1\n", "events_of_a_shop.py:1: invalid syntax"),
        ("import nowhere\n", "events_of_a_shop.py:1: ModuleNotFoundError: No module named 'nowhere'"),
        ("raise RuntimeError('boom')\n", "events_of_a_shop.py:1: RuntimeError: boom"),
        (
            GOOD + "Route('user', Priority.LOW, 'inbox emial')\n",
            "py:4: ValueError: there is no channel 'emial': inbox,",
        ),
        (GOOD + "Route('users', Priority.LOW, 'inbox')\n", "py:4: ValueError: there is no audience 'users': user,"),
        (GOOD + "class A(EventData, type='a.b', category='My News'): ...\n", "A: 'My News' is no category"),
        (GOOD + "class A(EventData, type='a b', category='news'): ...\n", "A: 'a b' is no type"),
        (GOOD + "class A(EventData, type='a.b'): ...\n", "A: '' is no category"),
        (
            GOOD + "class A(EventData, type='a.b', category='news'):\n    n: 'Nope'\n",
            "events_of_a_shop.A: a field's type is unknown: name 'Nope' is not defined",
        ),
    ],
)
def test_a_mistake_in_a_product_s_module_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    """When the process starts, and not with the first event."""
    (tmp_path / "events_of_a_shop.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "events_of_a_shop", raising=False)

    with pytest.raises(ValueError, match=re.escape(said)):
        Catalogue.of_modules(["events_of_a_shop"])


@pytest.mark.parametrize("name", ["not_here", "not_here.events"])
def test_a_module_that_is_nowhere_is_looked_for_on_python_s_path(name: str) -> None:
    """The usual reason, and its remedy."""
    with pytest.raises(ValueError, match=re.escape(f"No module named {name!r}; PYTHONPATH has to name the folder")):
        Catalogue.of_modules([name])
