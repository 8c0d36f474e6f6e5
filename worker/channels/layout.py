"""How an HTML mail looks: one responsive column with a heading, the body and a button. The only place for its design.

Pure strings: `mime` precompiles `HEAD` and `TAIL` into their wire form once. Tables and inline styles, because
Outlook knows neither flexbox nor most style sheets.
"""

from __future__ import annotations

from html import escape

HEAD = """\
<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<style>
@media (max-width: 600px) { .card { padding: 24px 20px !important } }
@media (prefers-color-scheme: dark) {
.page { background: #16181d !important }
.card { background: #22252c !important; color: #e8eaee !important }
}
</style>
</head>
<body class="page" style="margin:0;background:#f2f4f7">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0">
<tr><td align="center" style="padding:24px 12px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"
 style="max-width:560px">
<tr><td class="card" dir="auto" style="background:#ffffff;border-radius:12px;
 padding:32px 36px;color:#1d2430;font:16px/1.55 -apple-system,BlinkMacSystemFont,
 'Segoe UI',Roboto,Helvetica,Arial,sans-serif">
"""

TAIL = """\
</td></tr>
</table>
</td></tr>
</table>
</body>
</html>
"""


def inner(title: str, body: str, link: str, action: str) -> str:
    """Lay out what differs between mails. All but `link` are HTML already; an empty link makes no button."""
    button = ""
    if link:
        # Without a label the address itself is the label: a button must say something.
        href = escape(link)
        button = (
            '<p style="margin:28px 0 4px">\n'
            f'<a href="{href}"\n style="display:inline-block;background:#2457d6;color:#ffffff;'
            'text-decoration:none;\n font-weight:600;padding:12px 22px;border-radius:8px">'
            f"{action or href}</a></p>\n"
        )
    return f'<h1 style="margin:0 0 16px;font-size:22px;line-height:1.3">{title}</h1>\n<div>{body}</div>\n{button}'
