"""A product's own events: the handbook's example works as it stands, and products do not get in each other's way."""

from __future__ import annotations

import os
import re
import shlex
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.catalogue import Catalogue
from tests.acceptance.world import a_world
from tests.integration.command_line import ROOT, kabar
from worker.deployment import build_catalogue
from worker.errors import SettingsInvalid
from worker.settings import Settings, load_settings

PAGE = (ROOT / "docs/own-events.md").read_text("utf-8")
FILES = dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
PRODUCER = re.findall(r"^```python\n(import .*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[0]
CHECK = re.findall(r"^kabar (check .*)$", PAGE, re.MULTILINE)[0]
EVENT = """\
from schemas.catalogue import EventData, PersonId, Priority, Route


class Opened(EventData, type="{type}", category="{category}", routes=(Route("user", Priority.LOW, "inbox"),)):
    user_id: PersonId
"""


@pytest.fixture
def product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on Python's path. The modules that a test imports from it are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def library(product: Path) -> Path:
    """The handbook's example, written out."""
    for name, content in FILES.items():
        path = product / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    return product


def settings(*modules: str) -> Settings:
    return load_settings(
        {}, amqp_url="amqp://127.0.0.1/", database_url="postgresql://nobody@127.0.0.1/none", event_modules=modules
    )


async def test_the_handbook_s_own_event_is_delivered(library: Path, database_url: str, rabbitmq_url: str) -> None:
    """The module, the texts and the producer of the page, as they stand: the reader is told, in their language."""
    async with a_world(
        database_url, rabbitmq_url, event_modules=("library_events",), template_dirs=(library / "texts",)
    ) as world:
        await world.know("ani", name="Ani", locale="id", time_zone="Asia/Jakarta")
        await world.know("root", roles=["admin"])

        event_id = await publish(library, rabbitmq_url)

        states = await world.states(event_id)
        assert states["ani", "email"] == states["ani", "inbox"] == states["root", "inbox"] == ("sent", "")
        (mail,) = world.simulator.arrived("email")
        assert mail.title == "Tolong kembalikan Bumi Manusia"
        assert "harusnya kembali tanggal 12 Nov 2026. Dendanya sekarang Rp 15.000." in " ".join(mail.text.split())
        (row,) = await world.rows("SELECT title FROM notifications WHERE person_id = 'root'")
        assert row["title"] == "ani has not brought back Bumi Manusia"


async def publish(folder: Path, amqp_url: str) -> str:
    """Run the page's producer, and answer the id it printed."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "AMQP_URL": amqp_url}
    process = await create_subprocess_exec(sys.executable, "-c", PRODUCER, env=environment, stdout=PIPE, stderr=PIPE)
    printed, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return printed.decode().strip()


async def test_the_handbook_s_check_finds_what_a_product_got_wrong(library: Path) -> None:
    """The command of the page is content with the page's texts, and names the file and line of a mistake in them."""
    arguments = [str(library / each) if each == "texts" else each for each in shlex.split(CHECK)]
    environment = {"PYTHONPATH": str(library)}

    good = await kabar(environment, *arguments)
    (library / "texts/library.book_overdue/user/id.txt").unlink()
    broken = library / "texts/library.book_overdue/user/en.txt"
    broken.write_text("title: {{ book_titel }}\n", "utf-8")
    bad = await kabar(environment, *arguments)
    of_the_environment = await kabar(
        {**environment, "KABAR_EVENT_MODULES": "library_events", "KABAR_TEMPLATE_DIRS": str(library / "texts")}, "check"
    )

    assert "library" not in good.out
    assert bad.code == of_the_environment.code == 1
    assert f"{broken}:1: the event has no field 'book_titel'; did you mean book_title?" in bad.out.splitlines()
    assert f"{broken.with_name('id.txt')}:1: there is no such text" in bad.out
    assert of_the_environment.out == bad.out


def test_two_products_may_have_the_same_type(product: Path) -> None:
    """Each deployment knows its own modules only, even where two of them live in one process."""
    for name in ("bakery", "cinema"):
        (product / f"{name}_events.py").write_text(EVENT.format(type="shop.opened", category=name))

    catalogues = {name: build_catalogue(settings(f"{name}_events")) for name in ("bakery", "cinema")}

    for name, catalogue in catalogues.items():
        found = catalogue.find("shop.opened")
        assert found
        assert (found.category, found.model.__module__) == (name, f"{name}_events")
    assert Catalogue.of_modules(["schemas.events.order"]).find("shop.opened") is None


def test_classes_of_one_name_are_no_clash(product: Path) -> None:
    """Two modules of one deployment may name their classes alike; only the type counts."""
    for name in ("bakery", "cinema"):
        (product / f"{name}_events.py").write_text(EVENT.format(type=f"{name}.opened", category=name))

    catalogue = build_catalogue(settings("bakery_events", "cinema_events"))

    assert {info.category for info in catalogue} >= {"bakery", "cinema"}


@pytest.mark.parametrize(
    ("types", "both"),
    [
        (("shop.opened", "shop.opened"), ("bakery_events.Opened", "cinema_events.Opened")),
        (("bakery.opened", "payment.failed"), ("schemas.events.billing.PaymentFailed", "cinema_events.Opened")),
        (("shop.*", "shop.*"), ("bakery_events.Opened", "cinema_events.Opened")),
    ],
)
def test_a_type_of_two_modules_stops_the_start_and_names_both(
    product: Path, types: tuple[str, str], both: tuple[str, str]
) -> None:
    """Whoever adds a module that clashes reads which two classes to look at."""
    for name, kind in zip(("bakery", "cinema"), types, strict=True):
        (product / f"{name}_events.py").write_text(EVENT.format(type=kind, category=name))

    with pytest.raises(SettingsInvalid) as caught:
        build_catalogue(settings("bakery_events", "cinema_events"))

    clash = f"event type {types[1]!r} is defined twice, by {both[0]} and by {both[1]}; rename one of them"
    assert str(caught.value) == f"KABAR_EVENT_MODULES: {clash}"
