"""`kabar unsure`: messages of which nobody knows whether they went out, held until an operator says what to do."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.spans import parse_span

if TYPE_CHECKING:
    from worker.commands.unsure_work import Which
    from worker.ledger.connection import Record
    from worker.ledger.unsure import Deed

app = typer.Typer(help="Held deliveries: nobody knows whether they went out.", no_args_is_help=True)
Ids = Annotated[
    list[str] | None, typer.Argument(help="deliveries, by the beginning of their ids (6 characters or more)")
]
ChannelOption = Annotated[str, typer.Option(metavar="CHANNEL", help="only those of this channel")]
TypeOption = Annotated[str, typer.Option("--type", metavar="TYPE", help="only those of this event type")]
AgeOption = Annotated[
    timedelta | None, typer.Option(parser=parse_span, metavar="SPAN", help="only those held for so long: 10m, 24h, 7d")
]
ReasonOption = Annotated[str, typer.Option(help="why; kept in the audit")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="only show which they are, change nothing")]


@app.command("list")
def list_held(
    channel: ChannelOption = "",
    event_type: TypeOption = "",
    older_than: AgeOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="the longest held so many")] = 50,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """List what is held, the longest held first."""
    from worker.commands.screen import print_json  # noqa: PLC0415 - each command loads only what it needs
    from worker.commands.session import open_ledger, run_command  # noqa: PLC0415
    from worker.commands.unsure_work import print_held, shown  # noqa: PLC0415
    from worker.ledger.unsure import Filter, held  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    async def find() -> list[Record]:
        async with open_ledger(load_settings()) as ledger:
            which = Filter(channel, event_type, older_than or timedelta())
            return [row async for page in held(ledger, which, limit) for row in page]

    found = run_command(find())
    if as_json:
        print_json([shown(row) for row in found])
    else:
        print_held(found, limit)


@app.command("resend")
def resend(
    ids: Ids = None,
    channel: ChannelOption = "",
    event_type: TypeOption = "",
    older_than: AgeOption = None,
    reason: ReasonOption = "",
    *,
    dry_run: DryOption = False,
) -> None:
    """Send held messages once more. Whoever had one after all gets it twice; that is counted."""
    _settle("resend", _which(ids, channel, event_type, older_than), reason, is_dry=dry_run)


@app.command("was-sent")
def was_sent(
    ids: Ids = None,
    channel: ChannelOption = "",
    event_type: TypeOption = "",
    older_than: AgeOption = None,
    reason: ReasonOption = "",
    *,
    dry_run: DryOption = False,
) -> None:
    """Say that held messages went out: they end as sent, on your word."""
    _settle("was_sent", _which(ids, channel, event_type, older_than), reason, is_dry=dry_run)


def _settle(deed: Deed, which: Which, reason: str, *, is_dry: bool) -> None:
    from worker.commands.session import run_command  # noqa: PLC0415
    from worker.commands.unsure_work import settle_doubts  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    raise typer.Exit(run_command(settle_doubts(load_settings(), deed, which, reason, is_dry=is_dry)))


def _which(ids: list[str] | None, channel: str, event_type: str, older_than: timedelta | None) -> Which:
    from worker.ledger.unsure import Filter  # noqa: PLC0415

    is_narrowed = bool(channel or event_type or older_than is not None)
    if bool(ids) is is_narrowed:
        raise typer.BadParameter("name deliveries by their ids, or choose them by --channel, --type or --older-than")
    return ids or Filter(channel, event_type, older_than or timedelta())
