"""How an HTML mail looks: a logo, one responsive card with heading, body and button, and a foot. Its only design.

Pure strings, in the order they stand: `Page.head`, the preheader, `Page.middle`, the card, the foot, `Page.tail`;
`mime` precompiles the three of the page. Tables and inline styles, because Outlook knows neither flexbox nor most style
sheets; what a style sheet adds (dark mode, phones) is on top. A client that darkens by itself (Gmail) finds nothing
but plain colours.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from html import escape

from worker.channels.colours import filled, readable
from worker.channels.fitting import shorten

_PREHEADER_LIMIT = 140
_LOOKED_AT = 200  # of the body, whose gaps become single spaces
_FILLED_UP_TO = 100
_MOST_BLANKS = 50
_BLANK = "&nbsp;&zwnj;"
_FONT = "-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"


@dataclass(frozen=True, slots=True)
class Brand:
    """What makes the mails a product's own. `colour` is `#rrggbb`, the URLs are http or https; empty ones leave out.

    `settings_url` is where a person chooses what to get: `{person}` and `{delivery}` in it become the ids. It answers
    a POST by unsubscribing (RFC 8058).
    """

    name: str = "Kabar"
    colour: str = "#2457d6"
    logo_url: str = ""
    settings_url: str = ""


KABAR = Brand()


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one scheme. `link` is the brand's colour, moved until it can be read on the card and the page."""

    page: str
    card: str
    line: str
    heading: str
    text: str
    muted: str
    link: str = ""
    button: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """What all mails of one language have in common."""

    head: str
    middle: str
    tail: str


def palettes(colour: str) -> tuple[Palette, Palette]:
    """The light and the dark scheme that go with a brand's colour. All text is AA on its ground."""
    return _palette(_LIGHT, colour), _palette(_DARK, colour)


def preheader(body: str) -> str:
    """What a list of mails shows beside the subject: the beginning of the plain body, as HTML.

    Blanks fill it up, so that the list does not go on with the logo and the heading.
    """
    text = shorten(" ".join(body[:_LOOKED_AT].split()), _PREHEADER_LIMIT)
    return escape(text, quote=False) + _BLANK * min(_FILLED_UP_TO - len(text), _MOST_BLANKS)


class Layout:
    """Draws the mails of one brand."""

    def __init__(self, brand: Brand) -> None:
        self._brand = brand
        self._light, self._dark = palettes(brand.colour)
        colours = asdict(self._light)
        self._heading, self._anchor, self._button, self._foot = (
            part.format(**colours) for part in (_HEADING, _ANCHOR, _BUTTON, _FOOT)
        )

    def page(self, locale: str) -> Page:
        """Draw what surrounds a mail's own parts in a language."""
        name = escape(self._brand.name)
        logo = name
        if self._brand.logo_url:
            logo = _LOGO.format(url=escape(self._brand.logo_url), name=name, **asdict(self._light))
        style = _STYLE + _darkening(self._dark)
        head = _HEAD.format(lang=escape(locale), name=name, style=style, page=self._light.page)
        middle = _MIDDLE.format(logo=logo, font=_FONT, **asdict(self._light))
        return Page(head, middle, _TAIL)

    def card(self, title: str, body: str, link: str, action: str, image: str = "") -> str:
        """Lay out what a mail says. All but `link` and `image` are HTML; an empty URL shows nothing."""
        # Gmail drops style sheets for some accounts, so what the markup writes bare gets its style here.
        body = body.replace("<p>", _PARAGRAPH).replace("<ul>", _LIST).replace('<a href="', self._anchor)
        picture = _PICTURE.format(url=escape(image)) if image else ""
        button = ""
        if link:
            href = escape(link)
            # Without a label the address itself is the label: a button must say something.
            button = f'{self._button}{href}">{action or href}</a></td></tr></table>\n'
        return f"{self._heading}{title}</h1>\n{picture}<div>{body}</div>\n{button}"

    def foot(self, why: str, label: str, url: str) -> str:
        """End the card, and say why the mail came. `why` and `label` are plain; an empty URL makes no link."""
        said = f"{self._foot}{escape(why, quote=False)}\n"
        return f'{said}<br>{self._anchor}{escape(url)}">{escape(label, quote=False)}</a>\n' if url else said


def _palette(palette: Palette, colour: str) -> Palette:
    button, label = filled(colour)
    link = readable(readable(colour, palette.page), palette.card)
    return replace(palette, link=link, button=button, label=label)


def _darkening(dark: Palette) -> str:
    return f"""\
@media (prefers-color-scheme:dark) {{
.page {{background:{dark.page} !important}}
.card {{background:{dark.card} !important;border-color:{dark.line} !important}}
.heading {{color:{dark.heading} !important}}
.text {{color:{dark.text} !important}}
.muted {{color:{dark.muted} !important}}
.link {{color:{dark.link} !important}}
.button {{border-color:{dark.link} !important}}
}}
"""


_LIGHT = Palette("#f1f3f6", "#ffffff", "#e1e5eb", "#141a24", "#2b3444", "#596273")
_DARK = Palette("#14161a", "#1f2228", "#343943", "#f4f6f9", "#d5dae2", "#a0a8b6")

_STYLE = """\
:root {color-scheme:light dark}
@media (max-width:600px) {
.around {padding:20px 12px !important}
.card {padding:26px 22px 12px !important}
.button {width:100% !important}
.button a {display:block !important;text-align:center !important}
}
"""

_HEAD = """\
<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="format-detection" content="telephone=no,date=no,address=no,email=no">
<meta name="color-scheme" content="light dark">
<title>{name}</title>
<style>
{style}</style>
<!--[if mso]><style>h1,p,td,a,li {{font-family:Arial,sans-serif !important}}</style><![endif]-->
</head>
<body class="page" style="margin:0;background:{page}">
<div style="display:none;max-height:0;overflow:hidden;mso-hide:all">"""

# The width stands twice, because Outlook knows no greatest width. Fonts and colours are inherited from here.
_MIDDLE = """</div>
<table class="page" role="presentation" width="100%" cellpadding="0" cellspacing="0" bgcolor="{page}">
<tr><td class="around" align="center" style="padding:36px 16px;font:16px/1.6 {font}">
<!--[if mso]><table role="presentation" width="560"><tr><td><![endif]-->
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="max-width:560px;text-align:left">
<tr><td class="heading" style="padding:0 4px 18px;font-weight:700;font-size:19px;color:{heading}">{logo}</td></tr>
<tr><td class="card text" dir="auto" bgcolor="{card}" style="border:1px solid {line};border-radius:14px;
padding:34px 36px 20px;color:{text};overflow-wrap:anywhere">
"""

_TAIL = """\
</td></tr></table>
<!--[if mso]></td></tr></table><![endif]-->
</td></tr></table>
</body>
</html>
"""

_LOGO = (
    '<img class="heading" src="{url}" height="32" alt="{name}" style="display:block;height:32px;width:auto;\n'
    'max-width:240px;color:{heading}">'
)
_HEADING = (
    '<h1 class="heading" style="margin:0 0 14px;font-size:23px;line-height:1.3;color:{heading};text-wrap:balance">'
)
_ANCHOR = '<a class="link" style="color:{link}" href="'
_PARAGRAPH = '<p style="margin:0 0 14px">'
_LIST = '<ul style="margin:0 0 14px;padding:0 0 0 22px">'
# No words for the picture: it shows what the heading says, and a screen reader should not say it twice.
_PICTURE = (
    '<img src="{url}" width="486" alt=""\n'
    ' style="display:block;width:100%;height:auto;border-radius:8px;margin:0 0 18px">\n'
)
# Outlook on Windows pads the cell and all others the link, so that the whole button can be pressed.
_BUTTON = (
    '<table class="button" role="presentation" cellpadding="0" cellspacing="0" style="margin:22px 0 16px"><tr>\n'
    '<td class="button" bgcolor="{button}" style="border:1px solid {link};border-radius:9px;\n'
    'mso-padding-alt:13px 26px">'
    '<a style="display:inline-block;padding:13px 26px;color:{label};font-weight:600;line-height:1.3;\n'
    'text-decoration:none" href="'
)
_FOOT = '</td></tr>\n<tr><td class="muted" dir="auto" style="padding:18px 4px 0;font-size:13px;color:{muted}">\n'
