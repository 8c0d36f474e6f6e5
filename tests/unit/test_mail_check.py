"""What `kabar check` finds in printed mails, and that it finds nothing in ours."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.catalogue import Catalogue
from worker.channels.layout import Brand, palettes
from worker.channels.mail_check import Fault, faults_in_mail
from worker.channels.page import Shade, read_page
from worker.commands.check import run_check
from worker.commands.check_mails import EXAMPLE, example_mail, mail_findings
from worker.deployment import BUILT_IN_EVENTS
from worker.errors import SettingsInvalid
from worker.texts import BUILT_IN

ROOT = Path(__file__).parents[2]
YELLOW = Brand("Example", "#ffee00", EXAMPLE.logo_url, EXAMPLE.settings_url)
COLOURS = st.from_regex(r"#[0-9a-f]{6}", fullmatch=True)


def faults(
    brand: Brand = EXAMPLE,
    *,
    critical: bool = False,
    html: tuple[str, str] = ("", ""),
    text: tuple[str, str] = ("", ""),
    without: str = "",
) -> list[Fault]:
    """What is found in a mail of ours after these replacements."""
    printed = BytesParser(EmailMessage, policy=SMTP).parsebytes(
        example_mail(brand, "billing", "user", "en", critical=critical)
    )
    plain, page = (part.get_content() for part in printed.iter_parts())
    planted = EmailMessage(policy=SMTP.clone(max_line_length=998))  # no folding within an address
    for name in ("List-Unsubscribe", "List-Unsubscribe-Post"):
        if printed[name] and name != without:
            planted[name] = printed[name]
    assert not html[0] or re.search(html[0], page)
    assert not text[0] or re.search(text[0], plain)
    planted.set_content(re.sub(*text, plain) if text[0] else plain)
    planted.add_alternative(re.sub(*html, page) if html[0] else page, subtype="html")
    return list(faults_in_mail(planted.as_bytes(), brand, critical=critical))


@settings(max_examples=25, deadline=None)
@given(COLOURS)
def test_our_mails_are_good_whatever_the_brands_colour(colour: str) -> None:
    """Of critical and other mail, in both schemes."""
    brand = Brand("Rumah", colour, EXAMPLE.logo_url, EXAMPLE.settings_url)

    assert [*faults(brand), *faults(brand, critical=True)] == []


def test_every_kind_of_mail_is_looked_at() -> None:
    """Each category, audience and language of the catalogue; a brand without a page to unsubscribe at is found."""
    catalogue = Catalogue.of_modules(BUILT_IN_EVENTS)

    assert mail_findings(catalogue, ["en", "id"], [EXAMPLE, YELLOW]) == []
    (found,) = mail_findings(catalogue, ["en", "id"], [Brand("Rumah")])
    assert str(found).startswith("KABAR_SETTINGS_URL:1: mail that may be refused has no List-Unsubscribe header; ")


def test_a_brands_colour_that_cannot_be_read_is_found() -> None:
    """Yellow links on a white card, had the layout not darkened them; the scheme and the ratio are named."""
    light, _ = palettes(YELLOW.colour)

    found = faults(YELLOW, html=(f"color:{light.link}", f"color:{YELLOW.colour}"))

    assert {fault.what for fault in found} == {
        "a.link is #ffee00 on #ffffff in the light scheme, 1.2:1",
        "a.link is #ffee00 on #f1f3f6 in the light scheme, 1.1:1",
    }
    assert {fault.marks[0] for fault in found} == {"#ffee00"}


def test_dark_words_on_a_dark_ground_are_found() -> None:
    """The colours that stand in rules are measured too."""
    _, dark = palettes(EXAMPLE.colour)

    found = faults(html=(f"color:{dark.muted} !important", "color:#444444 !important"))

    assert [fault.what for fault in found] == [f"td.muted is #444444 on {dark.page} in the dark scheme, 1.9:1"]


@pytest.mark.parametrize(
    ("html", "what", "mark"),
    [
        ((r'(<img class="heading"[^>]*) alt="[^"]*"', r"\1"), "a picture has no alt text", '<img class="heading'),
        ((r'(<img src="[^>]*) alt=""', r"\1"), "a picture has no alt text", "<img src"),
        ((r'(<img class="heading"[^>]*) alt="[^"]*"', r'\1 alt=""'), "the logo does not say whose it is", "<img "),
        (("Look at it", " "), "the link to https://example.com/it says nothing", "<a "),
        ((r"Change what you get.*?</a>", "</a>"), "says nothing", "<a "),
        ((r'href="https://example.com/ayu[^"]*"', 'href="#"'), "the page has no link to unsubscribe by", "_FOOT"),
        (("color:#[0-9a-f]{6}", "color:salmon"), "how well 'salmon' can be read is not known", "salmon"),
    ],
)
def test_a_mistake_in_the_page_is_found(html: tuple[str, str], what: str, mark: str) -> None:
    """Pictures and links without words, no way out, colours that cannot be measured."""
    found = [fault for fault in faults(html=html) if what in fault.what]

    assert found
    assert mark in found[0].marks[0]
    assert found[0].file == "layout.py"


def test_mail_without_a_way_out_is_found() -> None:
    """Each place of the three that mail programs and readers look at."""
    url = f"https://example.com/ayu.of={'0' * 8}-.*"

    assert [fault.what for fault in faults(without="List-Unsubscribe")] == [
        "mail that may be refused has no List-Unsubscribe header"
    ]
    assert [fault.what for fault in faults(without="List-Unsubscribe-Post")] == [
        "mail that may be refused has no List-Unsubscribe-Post header"
    ]
    (lacking,) = faults(text=(url, ""))
    assert (lacking.file, lacking.what) == ("plaintext.py", "the plain text has no link to unsubscribe by")


def test_critical_mail_that_one_click_would_stop_is_found() -> None:
    """Nobody may lose word of a failed payment so."""
    refusable = example_mail(EXAMPLE, "billing", "user", "en", critical=False)

    found = list(faults_in_mail(refusable, EXAMPLE, critical=True))

    assert [fault.what for fault in found] == ["critical mail has a List-Unsubscribe header"]


def test_a_page_is_read_as_mail_programs_read_it() -> None:
    """Inline styles hold over rules, what is important over both, and what is hidden is not read."""
    page = read_page(
        "<style>p {color:#111;background:#222} .a p {color:#333333 !important} b p {color:#444}"
        "@media (max-width:9px) {p {color:#555}}"
        "@media (prefers-color-scheme: dark) {p {background-color:#666}}</style>"
        '<p style="color:#777777">1</p><div class="a" style="background:white"><p style="color:#888888">2</p></div>'
        '<div style="display:none">3</div><table bgcolor="#999999"><tr><td>4<br>5</table>'
    )

    assert page.shades == (
        Shade("light", "#777777", "#222222", "p", ()),
        Shade("dark", "#777777", "#666666", "p", ()),
        Shade("light", "#333333", "#222222", "p", ()),
        Shade("dark", "#333333", "#666666", "p", ()),
        Shade("light", "#000000", "#999999", "html", ()),
        Shade("dark", "#000000", "#999999", "html", ()),
    )


def test_the_check_names_the_file_and_the_line(tmp_path: Path) -> None:
    """A mistake planted in the layout makes the command fail, and says where it stands."""
    for name in ("worker", "schemas"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    layout = tmp_path / "worker" / "channels" / "layout.py"
    planted, count = re.subn(r'(<img class="heading"[^>]*) alt="[^"]*"', r"\1", layout.read_text(encoding="utf-8"))
    assert count == 1
    layout.write_text(planted, encoding="utf-8")
    line = planted[: planted.index('<img class="heading"')].count("\n") + 1

    done = subprocess.run(
        [sys.executable, "-P", "-m", "worker.cli", "check"],
        cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.stdout == f'worker/channels/layout.py:{line}: a picture has no alt text; write alt="…", or alt=""\n'
    assert done.returncode == 1


def test_the_brand_in_the_environment_is_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With no other setting there; one that is no colour is named."""
    monkeypatch.setenv("KABAR_BRAND_COLOUR", "#ffee00")
    assert run_check([], [], ["en"]) == 1
    assert "KABAR_SETTINGS_URL:1: mail that may be refused" in capsys.readouterr().out

    monkeypatch.setenv("KABAR_SETTINGS_URL", "https://shop.example/{person}")
    assert run_check([], [], ["en"]) == 0
    assert capsys.readouterr().out.endswith("and so are the mails\n")

    monkeypatch.setenv("KABAR_BRAND_COLOUR", "yellow")
    with pytest.raises(SettingsInvalid, match=r"^KABAR_BRAND_COLOUR: "):
        run_check([BUILT_IN], [], ["en"])
