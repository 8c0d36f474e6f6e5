"""The figures of the runs with something in the way, and what they must be. Pure but for drawing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import median

from rich.console import Console

from tests.bench.books import percentile
from tests.bench.report import Figure, draw
from tests.bench.results import Behind, Hanging, History, Outage, Phase


@dataclass(slots=True)
class Hardships:
    """What was measured; only what was asked for is among it."""

    measured: list[Behind | History | Hanging | Outage] = field(default_factory=list)

    def figures(self) -> list[Figure]:
        """Answer every figure in the order of the table."""
        return [figure for one in self.measured for figure in _figures(one)]

    def holds(self) -> bool:
        """Say whether every bound is kept."""
        return all(figure.holds for figure in self.figures())

    def document(self) -> Mapping[str, object]:
        """Answer the object that `--json` prints."""
        return {figure.key: round(figure.value, 4) for figure in self.figures()} | {"holds": self.holds()}

    def draw(self, console: Console) -> None:
        """Print the table."""
        draw(console, "with something in the way, two worker processes", self.figures())


def _figures(one: Behind | History | Hanging | Outage) -> Iterator[Figure]:
    match one:
        case Behind():
            return _behind(one)
        case History():
            return _history(one)
        case Hanging():
            return _hanging(one)
        case Outage():
            return _outage(one)


def _behind(one: Behind) -> Iterator[Figure]:
    yield Figure("behind_p99_ms", f"urgent, publish to acceptance, {one.waiting:,} waiting in bulk", one.p99, 500)
    yield Figure("behind_p50_ms", "", one.p50)
    yield Figure("behind_worked_off", "bulk messages that went out meanwhile", one.worked_off)
    yield Figure("behind_fill_s", "to write the rows and the jobs", one.seconds_to_fill)


def _history(one: History) -> Iterator[Figure]:
    share = one.laden.deliveries_per_s / one.empty.deliveries_per_s
    cost = one.laden.spent.database / one.empty.spent.database
    yield Figure(
        "history_share", f"throughput with {one.rows:,} finished, over that of an empty ledger", share, 0.9, "≥"
    )
    yield Figure("history_per_s", "deliveries a second, with them", one.laden.deliveries_per_s)
    yield Figure("history_empty_per_s", "without", one.empty.deliveries_per_s)
    yield Figure("history_database_share", "PostgreSQL's CPU-s per 1000 deliveries, over those with none", cost)
    yield Figure("history_explain_ms", "median to connect, read and tell, as `kabar explain` does", one.explain_ms, 100)
    yield Figure("history_lost", "", one.empty.tally.lost + one.laden.tally.lost, 0)
    yield Figure("history_others_share", "of the machine's time meanwhile, for others", one.laden.others_share)
    yield Figure("history_empty_others_share", "", one.empty.others_share)
    yield Figure("history_fill_s", "to write the rows", one.seconds_to_fill)


def _hanging(one: Hanging) -> Iterator[Figure]:
    """Judge by the median pair: a second in which the machine stood still spoils one pair, but the p99 of all mails."""
    pairs = [(_p99(_mails([well])), _p99(_mails([hung]))) for well, hung in zip(one.well, one.hung, strict=True)]
    share = median(with_hung / with_well for with_well, with_hung in pairs)
    yield Figure("hanging_share", "p99 of mails with Slack hanging, over that with Slack well: median pair", share, 1.1)
    for number, (with_well, with_hung) in enumerate(pairs, start=1):
        yield Figure(f"hanging_pair_{number}", f"{with_hung:.1f} ms over {with_well:.1f} ms", with_hung / with_well)
    typical = _p99(_typical_mails(one.hung)) / _p99(_typical_mails(one.well))
    yield Figure("hanging_typical_share", "the same without what struck single phases", typical)
    well, hung = _mails(one.well), _mails(one.hung)
    yield Figure("hanging_pooled_share", "the same of all mails together", _p99(hung) / _p99(well))
    yield from _all_mails("hanging", "with Slack hanging, all phases", hung)
    yield from _all_mails("hanging_well", "with Slack well, all phases", well)
    yield Figure(
        "hanging_given_up", "sends to Slack that hung to the end of their time", one.given_up, len(one.hung), "≥"
    )
    tallies = [phase.tally for phase in (*one.well, *one.hung)]
    yield Figure("hanging_lost", "events that missed a sink in the end", sum(each.lost for each in tallies), 0)
    yield Figure("hanging_doubled", "", sum(each.doubled for each in tallies), 0)


def _all_mails(key: str, meaning: str, ordered: Sequence[float]) -> Iterator[Figure]:
    yield Figure(f"{key}_p99_ms", meaning, _p99(ordered))
    yield Figure(f"{key}_p50_ms", "", percentile(ordered, 0.5))
    yield Figure(f"{key}_mails", "", len(ordered))


def _p99(ordered: Sequence[float]) -> float:
    return percentile(ordered, 0.99)


def _mails(phases: Sequence[Phase]) -> list[float]:
    return sorted(chain.from_iterable(chain.from_iterable(phase.mails_ms for phase in phases)))


def _typical_mails(phases: Sequence[Phase]) -> list[float]:
    """Answer, of each second of a phase, the mails of that third of the phases in which it was neither slow nor fast.

    What the hung channel does it does at the same second of every phase: that stays. A standstill strikes only some.
    """
    cut = len(phases) // 3
    seconds = zip(*(phase.mails_ms for phase in phases), strict=True)
    middle = chain.from_iterable(sorted(second, key=_p99)[cut : len(phases) - cut] for second in seconds)
    return sorted(chain.from_iterable(middle))


def _outage(one: Outage) -> Iterator[Figure]:
    share = one.drained / (one.waiting / one.limit_per_second)
    meaning = f"time to drain {one.waiting:,}, over what {one.limit_per_second}/s take"
    yield Figure("outage_drain_share", meaning, share, 1.15)
    yield Figure("outage_drain_share_least", "", share, 0.85, "≥")
    yield Figure("outage_drain_s", "from the provider's return to the last message", one.drained)
    yield Figure("outage_first_s", "to the first", one.first)
    yield Figure("outage_fastest", "most in any second", one.fastest, 1.2 * one.limit_per_second)
    yield Figure("outage_doubled", "", one.doubled, 0)
    yield Figure("outage_unsent", "rows that ended otherwise than sent", one.unsent, 0)
