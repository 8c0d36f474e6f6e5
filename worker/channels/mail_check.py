"""What a printed mail owes its reader: words that can be read in both schemes, pictures with words, a way out.

Pure. Reads the mail as a mail program does, so that it needs to know nothing of how the layout is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from worker.channels.colours import AA, contrast
from worker.channels.layout import Brand
from worker.channels.page import Page, Picture, read_page

LAYOUT, TEXT, HEADERS = "layout.py", "plaintext.py", "mime.py"
SETTING = "KABAR_SETTINGS_URL"


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake. `file` of this folder, or the setting, is at fault; `marks`: what the line there has in it."""

    file: str
    marks: tuple[str, ...]
    what: str
    remedy: str


def faults_in_mail(mail: bytes, brand: Brand, *, critical: bool) -> Iterator[Fault]:
    """Answer what is wrong with one printed mail of a brand. `critical`: it must not be easy to switch off."""
    message = message_from_bytes(mail, policy=default)
    html, text = message.get_body(("html",)), message.get_body(("plain",))
    page = read_page(html.get_content() if html else "")
    yield from _unreadable(page)
    yield from _unseen(page, brand)
    if critical:
        yield from _switched_off(message)
    else:
        yield from _no_way_out(message, page, text.get_content() if text else "", brand)


def _unreadable(page: Page) -> Iterator[Fault]:
    for shade in page.shades:
        ratio = contrast(shade.colour, shade.ground)
        if ratio < AA:
            where = f"{shade.tag}.{'.'.join(shade.classes)}".strip(".")
            what = f"{where} is {shade.colour} on {shade.ground} in the {shade.scheme} scheme, {ratio:.1f}:1"
            marks = shade.colour, *(f'class="{name}' for name in shade.classes), f"<{shade.tag}"
            yield Fault(LAYOUT, marks, what, f"choose colours at least {AA}:1 apart, so that it can be read")
    for colour in page.unknown:
        yield Fault(LAYOUT, (colour,), f"how well {colour!r} can be read is not known", "write colours as #rrggbb")


def _unseen(page: Page, brand: Brand) -> Iterator[Fault]:
    """Pictures without words, for who cannot see them, and links that say nothing."""
    for picture in page.pictures:
        if picture.alt is None:
            yield Fault(LAYOUT, _marks_of_picture(picture), "a picture has no alt text", 'write alt="…", or alt=""')
        elif picture.url == brand.logo_url and brand.name not in picture.alt:
            remedy = "its alt text is the product's name"
            yield Fault(LAYOUT, _marks_of_picture(picture), "the logo does not say whose it is", remedy)
    for url, said in page.links:
        if not said.strip():
            what = f"the link to {url} says nothing"
            yield Fault(LAYOUT, ("<a ",), what, "write words into it, or a picture with alt text")


def _marks_of_picture(picture: Picture) -> tuple[str, ...]:
    return *(f'<img class="{name}' for name in picture.classes), "<img src", "<img"


def _switched_off(message: EmailMessage) -> Iterator[Fault]:
    if message["List-Unsubscribe"]:
        what = "critical mail has a List-Unsubscribe header"
        yield Fault(HEADERS, ("List-Unsubscribe:",), what, "leave it out: one click would stop what must arrive")


def _no_way_out(message: EmailMessage, page: Page, text: str, brand: Brand) -> Iterator[Fault]:
    url = str(message["List-Unsubscribe"] or "").strip("<>")
    if not url:
        what = "mail that may be refused has no List-Unsubscribe header"
        remedy = (
            f"print it, with the address of {SETTING}" if brand.settings_url else "set it to where people unsubscribe"
        )
        yield Fault(HEADERS if brand.settings_url else SETTING, ("List-Unsubscribe:",), what, remedy)
        return
    if url.startswith("https:") and message["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click":
        what = "mail that may be refused has no List-Unsubscribe-Post header"
        yield Fault(HEADERS, ("List-Unsubscribe-Post:",), what, "print it: mail programs want one click (RFC 8058)")
    if url not in {link for link, _ in page.links}:
        yield Fault(LAYOUT, ("_FOOT =",), "the page has no link to unsubscribe by", f"link to {url} in its foot")
    if url not in text.split():
        yield Fault(TEXT, ("def foot",), "the plain text has no link to unsubscribe by", f"say {url} in its foot")
