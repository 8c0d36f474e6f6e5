"""What the answers of a mail server mean for a delivery. Pure: RFC 5321, RFC 3463 and what real servers say.

Three questions decide: whose fault is it (the person's mailbox, our message, our account), may it be over later, and is
the address at an end. Without a clear word the cautious reading wins.
"""

from __future__ import annotations

import re
import ssl

import aiosmtplib

from worker.channels.smtp import Reply, Server
from worker.core.mask import mask
from worker.core.outcome import Deferred, Outcome, Refused

_QUEUED = re.compile(r"(?:queued as |id=|\bok:? )(?=\S*\d)([\w.+-]{4,100})", re.IGNORECASE)
_STATUS = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?!\S)")
_RELAY = re.compile(r"\brelay", re.IGNORECASE)

# RFC 3463 and the IANA registry of enhanced status codes, subject 1 and 2: the mailbox does not exist (any more),
# its domain takes no mail, or its syntax is none.
_GONE = {(1, 1), (1, 2), (1, 3), (1, 6), (1, 10), (2, 1)}
_SENDER_AT_FAULT = {(1, 7), (1, 8), (7, 8), (7, 9), (7, 11), (7, 14), (7, 60)}
_TOO_BIG = {(2, 3), (3, 4)}
_NEEDS_LOGIN = (530, 534, 535, 538)  # RFC 4954, 6


def queue_id(text: str) -> str:
    """Give the server's own id for a mail it took, or '' where it names none that can be told."""
    found = _QUEUED.search(text)
    return found[1] if found else ""


def of_sender(reply: Reply) -> Outcome:
    """Answer to MAIL. A refused sender is a wrong setting, or an account in trouble: no fault of this message."""
    if reply.code < 500 or _status(reply) in _TOO_BIG or reply.code == 552:  # noqa: PLR2004
        return of_data(reply)
    return outage("sender_rejected", said(reply))


def of_recipient(reply: Reply) -> Outcome:
    """Answer to RCPT. Only a clear word that the mailbox is at an end suppresses the address."""
    status = _status(reply)
    if reply.code < 500:  # noqa: PLR2004
        return _busy(reply)
    # First, because Postfix words it "User unknown in relay recipient table".
    if status in _GONE:
        return Refused("address_unknown", said(reply), suppress=True)
    if _is_account_at_fault(reply, status):
        return outage("sender_rejected", said(reply))
    if status in _TOO_BIG:
        return Refused("message_too_big", said(reply), fault="ours")
    if status is not None and status[0] in (5, 6):
        return Refused("message_rejected", said(reply), fault="ours")
    # Without a clear word that the mailbox is gone it is not suppressed: 550 is also said for policy (RFC 5321, 4.2.3).
    return Refused("rejected_by_policy" if status and status[0] == 7 else "address_rejected", said(reply))  # noqa: PLR2004


def of_data(reply: Reply) -> Outcome:
    """Answer to DATA or to the body: some servers judge the recipient only now; without that it is our text."""
    status = _status(reply)
    if reply.code < 500:  # noqa: PLR2004
        return _busy(reply)
    if status in _TOO_BIG or (reply.code == 552 and status is None):  # noqa: PLR2004
        return Refused("message_too_big", said(reply), fault="ours")
    if status is None or status[0] not in (1, 2, 7):
        return Refused("message_rejected", said(reply), fault="ours")
    return of_recipient(reply)


def _busy(reply: Reply) -> Outcome:
    # 421: the service is closing. 454 after login is what Amazon SES says for too many mails a second.
    if reply.code in (421, 454):
        return outage("provider_busy", said(reply))
    if reply.code < 400:  # noqa: PLR2004
        return Deferred("provider_confused", said(reply))
    return Deferred("provider_deferred", said(reply))


def _is_account_at_fault(reply: Reply, status: tuple[int, int] | None) -> bool:
    return status in _SENDER_AT_FAULT or reply.code in _NEEDS_LOGIN or bool(_RELAY.search(reply.text))


def _status(reply: Reply) -> tuple[int, int] | None:
    found = _STATUS.match(reply.text)
    return (int(found[2]), int(found[3])) if found else None


def said(reply: Reply) -> str:
    """Give the answer as the ledger may keep it."""
    return mask(f"{reply.code} {reply.text}")


def outage(reason: str, detail: str) -> Deferred:
    """Give what it means that the account or the server is in trouble: no message pays for it, all of them wait."""
    return Deferred(reason, detail, costs_attempt=False, scope="account")


def no_session(error: Exception, server: Server) -> Deferred:
    """Give what it means that no session could be opened. User and password never show."""
    detail = mask(f"{type(error).__name__}: {error}", server.password, server.username)
    match error:
        case aiosmtplib.SMTPAuthenticationError():
            return outage("credentials_rejected", detail)
        case aiosmtplib.SMTPResponseException():
            return outage("provider_busy", detail)
        case aiosmtplib.SMTPConnectError(__cause__=ssl.SSLError()) | ssl.SSLError():
            return outage("tls_failed", detail)
        case aiosmtplib.SMTPConnectError() | aiosmtplib.SMTPServerDisconnected() | OSError():
            return outage("provider_unreachable", detail)
        case _:
            # What is left of aiosmtplib's tree: STARTTLS or AUTH wished for and not offered.
            return outage("provider_unsuitable", detail)


REMEDIES = {
    "credentials_rejected": "Check user and password in the SMTP URL.",
    "provider_busy": "The server is there and does not want us now; look at its message and try later.",
    "tls_failed": "Check that the certificate is valid for this host, and that smtps:// or smtp:// fits the port.",
    "provider_unreachable": "Check host and port in the SMTP URL, and that a firewall lets this machine out.",
    "provider_unsuitable": "The server offers no STARTTLS or no login; use smtps://, ?starttls=never or no user.",
}


ENVELOPE_JUDGES = (of_sender, of_recipient, of_data)
"""Who judges the answers to MAIL, RCPT and DATA."""
