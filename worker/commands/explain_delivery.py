"""What is to be said of one delivery: what decided, every attempt, how it stands, and what comes next. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from worker.commands.accounts import rest_of
from worker.commands.explain_tell import Step, in_order, tell_deeds
from worker.commands.screen import masked, moment, often
from worker.core.preferences import wish
from worker.ledger.connection import Record
from worker.ledger.explanation import Acquaintance, Case, File

_NOT_RECORDED = "what decided was not written down: a worker of an older version planned it"
_SKIPS = {
    "person_unknown": "nobody of this id was known",
    "actor": "the person caused the event, and is not told of it",
    "expired": "it was expired",
    "channel_not_configured": "this deployment did not have the channel",
    "preference": "the person does not want it",
    "no_address": "the person had no address on the channel",
    "address_suppressed": "the address was switched off",
    "address_gone": "the address was taken away meanwhile",
    "read": "the person had read it elsewhere before its turn came",
}
_NOTHING = "nothing: it is at its end"


def tell_delivery(case: Case, file: File, delivery: Record, now: datetime) -> list[Step]:
    """Tell of one delivery: what decided, every attempt, what operators did, how it stands, and what comes next."""
    notification = next((row for row in case.notifications if row["id"] == delivery["notification_id"]), None)
    letters = [row for row in case.letters if row["delivery_id"] == delivery["id"]]
    happened = [
        *(_attempt(row) for row in case.attempts if row["delivery_id"] == delivery["id"]),
        *(Step(row["created_at"], "settle", f"dead letter {str(row['id'])[:8]}: {row['reason']}") for row in letters),
        *tell_deeds(case.deeds, delivery["id"], *(row["id"] for row in letters)),
    ]
    stands = list(_stands(delivery))
    return [
        *_decided(delivery),
        *in_order([*happened, *(one for one in stands if one.at)]),
        *(one for one in stands if not one.at),
        _next(file, delivery, letters, now),
        *(Step(at, "since", f"since changed: {says}") for at, says in _changes(case, file.who, delivery, notification)),
    ]


def _decided(delivery: Record) -> Iterator[Step]:
    at = delivery["created_at"]
    by = _decided_by(delivery)
    if not delivery["attempt_limit"]:
        yield Step(at, "decide", f"not sent: {_skip(delivery)}{f'; {by}' if by else ''}")
        return
    yield Step(at, "decide", f"to be sent{_to(delivery)}{f': {by}' if by else ''}")
    yield Step(
        at,
        "dispatch",
        f"ready in the lane {delivery['lane']}, until {moment(delivery['expires_at'])}; at most"
        f" {delivery['attempt_limit']} attempts; if nobody knows whether it went out: {delivery['on_unsure']}",
    )


def _decided_by(delivery: Record) -> str:
    match delivery["decided_by"]:
        case None:
            return _NOT_RECORDED
        case "":
            return ""
        case "critical":
            return "it is critical, so preferences were not asked"
        case "default":
            return "no preference was about it, so it was wanted"
        case preference:
            return f"the preference {preference} said {'off' if delivery['reason'] == 'preference' else 'on'}"


def _skip(delivery: Record) -> str:
    reason, detail = delivery["reason"], delivery["detail"]
    said = _SKIPS.get(reason, reason)
    return f"{said} ({reason}{f': {detail}' if detail and reason != 'preference' else ''})"


def _to(delivery: Record) -> str:
    return "" if delivery["channel"] == "inbox" or not delivery["address"] else f" to {masked(delivery['address'])}"


def _attempt(row: Record) -> Step:
    took = f" after {row['duration_ms']} ms" if row["duration_ms"] is not None else ""
    detail = f": {row['detail']}" if row["detail"] else ""
    number = f"attempt {row['attempt']}" if row["attempt"] else "a try that did not count"
    return Step(row["at"], "send", f"{number} {row['outcome']}{took}: {row['reason']}{detail}")


def _stands(delivery: Record) -> Iterator[Step]:
    """Tell how it stands, unless it was decided at once."""
    state, at = delivery["state"], delivery["finished_at"]
    number, reason = delivery["attempt"], delivery["reason"]
    if delivery["resends"]:
        yield Step(None, "settle", f"sent again {often(delivery['resends'])} without knowing whether it had gone out")
    match state:
        case "sent":
            by = f" by {delivery['provider']}" if delivery.get("provider") else ""
            reference = f", its id there {delivery['reference']}" if delivery["reference"] else ""
            text = f", from the text {delivery['template_version']}" if delivery["template_version"] else ""
            sent = f"sent{by} at attempt {number}"
            if reason == "said_by_operator":  # it ended before that word, which stands above with its time
                yield Step(None, "settle", f"counts as {sent}, on an operator's word{reference}{text}")
            else:
                yield Step(at, "settle", f"{sent}{reference}{text}")
        case "skipped" if delivery["attempt_limit"]:
            yield Step(at, "lease", f"looked at once more and not sent: {_skip(delivery)}")
        case "expired":
            yield Step(at, "lease", f"expired before it was sent, after {number} attempts")
        case "leased":
            yield Step(None, "lease", f"attempt {number} is under way")
        case "refused" | "dead" | "unsure" | "cancelled":
            yield Step(at, "settle", f"{state} at attempt {number}: {reason}")
        case _:
            return


def _next(file: File, delivery: Record, letters: Sequence[Record], now: datetime) -> Step:
    rest = rest_of(delivery["channel"], file.accounts) if delivery["state"] == "queued" else ""
    if rest:
        return Step(None, "next", f"it waits for its provider, and loses no attempt: {rest}")
    return Step(delivery["due_at"], "next", _due(delivery, letters, now))


def _due(delivery: Record, letters: Sequence[Record], now: datetime) -> str:
    due = delivery["due_at"]
    match delivery["state"]:
        case "queued":
            return f"a courier takes it; at {moment(due)} ({_away(due, now)}) its job is published again if it was lost"
        case "waiting":
            return f"attempt {delivery['attempt'] + 1} at {moment(due)} ({_away(due, now)})"
        case "leased":
            return f"its outcome; at {moment(due)} ({_away(due, now)}) the lease runs out: {delivery['on_unsure']}"
        case "unsure":
            return f"an operator decides: kabar unsure resend, or was-sent, {str(delivery['id'])[:8]}"
        case "dead":
            if letters and letters[-1]["state"] == "dropped":
                return "nothing: its dead letter was dropped"
            letter = f"kabar dead show {str(letters[-1]['id'])[:8]}" if letters else "its dead letter is missing"
            return f"an operator decides: {letter}"
        case _:
            return _NOTHING


def _away(due: datetime, now: datetime) -> str:
    seconds = int((due - now).total_seconds())
    return f"in {seconds} s" if seconds >= 0 else f"{-seconds} s ago"


def _changes(
    case: Case, who: Acquaintance, delivery: Record, notification: Record | None
) -> Iterator[tuple[datetime | None, str]]:
    """What would be decided otherwise today."""
    person = who.person
    if person is None:
        return
    if person["removed_at"]:
        yield person["removed_at"], "the person is gone"
        return
    if delivery["reason"] == "person_unknown":
        yield person["changed_at"], "the person is known now"
        return
    yield from _address_since(who, delivery)
    then = delivery["decided_by"]
    if notification is None or not then or then == "critical":
        return
    preferences = {(row["scope"], row["channel"]): row for row in who.preferences}
    wanted = {key: bool(row["enabled"]) for key, row in preferences.items()}
    today = wish(wanted, case.event["type"], notification["category"], delivery["channel"])
    if today.by != then or today.is_wanted != (delivery["reason"] != "preference"):
        scope, _, channel = today.by.rpartition(" on ")
        row = preferences.get((scope, channel))
        says = f"the preference {today.by} says {'on' if today.is_wanted else 'off'}"
        yield (row["changed_at"], says) if row else (None, "no preference is about it any more, so it is wanted")


def _address_since(who: Acquaintance, delivery: Record) -> Iterator[tuple[datetime | None, str]]:
    known: Mapping[str, Record] = {
        row["address"]: row for row in who.addresses if row["channel"] == delivery["channel"]
    }
    if delivery["channel"] == "inbox":
        return
    if not delivery["address"]:
        if known and delivery["reason"] == "no_address":
            yield None, "there is an address now"
        return
    row = known.get(delivery["address"])
    if row is None:
        yield None, "the person does not have this address any more"
    elif row["suppressed_at"] and delivery["reason"] != "address_suppressed":
        yield row["suppressed_at"], f"the address is switched off: {row['suppressed_reason']}"
    elif not row["suppressed_at"] and delivery["reason"] == "address_suppressed":
        yield None, "the address is in use again"
