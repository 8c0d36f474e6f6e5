"""What a provider repeats of our own message is taken out of its answer; why it refused stays. Pure.

A word of the message is hidden wherever the answer has it, unless it is one of the words with which servers explain
themselves: those tell nothing of a person, and without them nobody learns that a mailbox is full. Four words in the
message's own order are a quotation, whatever they are. Knows no channel.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Final
from unicodedata import normalize
from urllib.parse import unquote

from worker.core.mask import mask

# The glue of sentences. "May", "will", "mark" and the like are names too, and so not here.
_GLUE = """
a about after again all already also an and another answer any anymore are aren as at available back be because been
before being but by can cannot come contact continue could did didn do does doesn don due during early either else end
every example first following for from further get go had has hasn have haven help her here his how if in into is isn
it its just last less likely ll many message messages more most must my need new no non none not nothing now of off ok
on once one only or other our out over passing per please possible re reach s same see seem seems send sending sent
should since so some sorry starting such t than that the their them then there these they this those through to too
try trying two unfortunately until up use used using ve via was wasn way we were what when where which while who whose
why with within without won would you your
"""
# What is wrong, and what was done about it.
_TROUBLE = """
abnormal abort aborted abuse accept acceptable accepted accepting access action active added administrative
administratively administrator aged agree allocation allow allowed ambiguous archived attempt attempted authenticate
authenticated authentication authorization authorized bad banned blacklist blacklisted block blocked blocklist bounce
bounced broken bulk busy byte bytes capable change changed check classified client closed closing command complaint
complaints completed compliant condition conflict congestion connect connection contain contains content control
convert couldn count credentials current currently daily data day days deactivated default defer deferred delay
delayed delete deleted delivered delivery denied deny dependency destination detected directory disabled disallowed
discarded disconnected disk duplicate email empty enabled enough entities entity error errors exceed exceeded exceeds
exist existing exists expansion expectation expected expired expression factor fail failed failure fatal field file
filter find finish fixed flood forbidden format forward forwarding found full gateway general gone granted greylisted
greylisting group header headers hour hours identified illegal implemented inactive incoming incorrect incorrectly
infected initiate insufficient integrity intended internal invalid issuer kicked known large later length level limit
limited limits line list listed load local locked login long lookup loop loss lost low malformed malware match maximum
memory method migrated minute minutes misdirected mismatch missing mode modified moved multiple name needed negative
negotiates network nonexistent null number obsolete offline online open operation option originating overloaded
overquota parameter parse part parts password pattern performed permanent permanently permission permissions permitted
phishing points policy poor posting precondition priority problem processing prohibited protection protocol pst quota
range rate ratelimited reached read reason reasons receive received receiving refused reject rejected rejecting relay
relayed relaying remote removed repeatedly replace request requested requests require required requires reset resolve
resource resources responding restricted restriction restrictions retry revoked rollup routing rule rules score
seconds security selected self sequence service signed size slow space spam spammer specified start state status stop
storage subject submission support supported suppressed suppression suspended suspicious syntax system taken
temporarily temporary terminated test text throttled throttling time timed timeout today tried ts unable
unauthenticated unauthorized unavailable undefined unexpected unknown unprocessable unreachable unreadable
unreasonable unrecognized unroutable unrouteable unsolicited unsubscribed unsupported unusual unverified upgraded
valid verified verify violation virtual virus visible volume wait weak weren write wrong
"""
# What it is about, in mail, in the Bot API, in Slack's and in HTTP.
_THINGS = """
account accounts actions address addresses algorithm api app application arc arg args arguments ascii attachment
attachments auth authed big blocks body bot button buttons certificate channel channels character characters charset
chat chats checks code codes commands configured connections conversation conversion cryptographic database dkim dm
dmarc dns domain domains ehlo ekm elements emoji encoding encryption enterprise envelope exchange fallback features
fields folder handshake helo hooks host hostname hosts html http https identities image inbox inline invalidated ip
ips json keyboard link links mail mailbox mailboxes mailer mailing mails markdown markup mechanism media member
members mime mrkdwn msg mx object offset org organization page payload peer pipe plain port post postmaster proto
protocols provider proxy ptr queue recipient recipients record records redirect reply reputation resolution reverse
rights route sandbox scope section sender server servers session setup signature slack smtp socket source spf ssl
starttls stream string supergroup switching tab table tag team thread threshold tls token topic traffic transaction
transmission type unparsed upgrade upstream uri url urls user users utf validation verification version web webhook
webhooks whitelisted workspace
"""
# The stand-ins of `mask`, and exceptions that are ours.
_OURS = """
clientconnectorerror clientoserror connectionreseterror id secret serverdisconnectederror
"""
EXPLAINING: Final = frozenset(f"{_GLUE} {_TROUBLE} {_THINGS} {_OURS}".split())
"""Words that stay whatever the message says. None is a given name."""

_QUOTED = 4  # so many words in a row are a quotation: "chat not found" is what many messages say
_CUT_OFF = 4  # letters of a word that may have lost its end
_GROWN = 3  # letters or digits of a part of a word, as in "20Lovelace"
_STATUS = re.compile(
    r"\d{3}(?: (?P<code>\d\.\d{1,3}\.\d{1,3})(?!\S))?|Client\w+: Cannot connect to host [\w.-]+:\d+", re.ASCII
)
_WORD = re.compile(r"[^\W_]+")
_TOKEN = re.compile(
    r"(?P<stays><(?:link|address|secret|id|number|text)>)|(?<!\S)\d\.\d{1,3}\.\d{1,3}(?!\S)|[^\W_]+(?P<cut>…|\.\.\.)?"
)
_PART = re.compile(r"\d+|[^\W\d_]+")
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[nrt])")
_BETWEEN = re.compile(r"<text>(?:[ .,:;'\"/@_-]*<text>)+")


def mask_repeated(text: str, told: str) -> str:
    """Give a masked answer without what it repeats of `told`, our own message in plain words. Masked, on one line.

    The status at its head stays. Hidden are words of the message that explain nothing, also where their end was cut
    off or something has grown to them, and whatever stands in both for four words.
    """
    text = _read(text)
    ours = f" {' '.join(_words(_read(told)))} "
    status = _STATUS.match(text)
    head = status.end() if status else 0
    code = status["code"] if status else None
    tokens = list(_TOKEN.finditer(text, head))
    quoted = _quoted(tokens, ours)
    kept, end = [text[:head]], head
    for at, token in enumerate(tokens):
        if not token["stays"] and token[0] != code and (at in quoted or _is_repeated(token, ours)):
            kept += [text[end : token.start()], "<text>"]
            end = token.end()
    return mask(_BETWEEN.sub("<text>", "".join([*kept, text[end:]])))


def _read(text: str) -> str:
    """Undo the ways in which a text is written within another: as a URL, as HTML, as JSON."""
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)) if found[1] else " ", text)
    text = normalize("NFC", unescape(unquote(text)))
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # JSON writes an emoji as two halves


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _quoted(tokens: list[re.Match[str]], ours: str) -> set[int]:
    """Answer which tokens stand in a row that the message has too. A stand-in ends a row."""
    words = ["<>" if token["stays"] else " ".join(_words(token[0])) for token in tokens]
    rows = range(len(words) - _QUOTED + 1)
    found = [at for at in rows if f" {' '.join(words[at : at + _QUOTED])} " in ours]
    return {at + more for at in found for more in range(_QUOTED)}


def _is_repeated(token: re.Match[str], ours: str) -> bool:
    word = " ".join(_words(token[0]))
    if word in EXPLAINING:
        return False
    if f" {word} " in ours or (f" {word}" in ours and (token["cut"] or len(word) >= _CUT_OFF)):
        return True
    if not word.isascii() and word in ours:
        return True  # scripts that put no blanks between words
    parts = [part for part in _PART.findall(word) if len(part) >= _GROWN and part not in EXPLAINING]
    return any(f" {part} " in ours for part in parts)
