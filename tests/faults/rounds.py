"""One fault played, healed and counted, and the table of many: what the tests assert and `kabar chaos` prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rich.box import SIMPLE
from rich.table import Table

from tests.faults.books import Tally, tally

COLUMNS = ("fault", "events", "lost", "doubled (in flight)", "silent", "false dead", "unsure", "recovered in s")


@dataclass(frozen=True, slots=True)
class Round:
    """What a fault left behind.

    `doubles`: how many were promised at most. `recovered_seconds`: from the healing until nothing was under way.
    `amiss`: further promises of this fault that were broken, each in a sentence.
    """

    fault: str
    books: Tally
    recovered_seconds: float
    doubles: int = 0
    amiss: tuple[str, ...] = ()

    def broken(self) -> list[str]:
        """Say which promises are broken."""
        return [*self.books.broken(doubles=self.doubles), *self.amiss]

    def cells(self) -> tuple[str, ...]:
        """Answer the round as a row of the table."""
        books = self.books
        return (
            f"{'✗' if self.broken() else '✓'} {self.fault}",
            str(books.events),
            str(books.lost),
            f"{books.doubled} ({books.in_flight})",
            str(books.silent),
            str(books.false_dead),
            str(books.unsure),
            f"{self.recovered_seconds:.1f}",
        )

    def line(self) -> str:
        """Answer the round in one line."""
        (_, fault), *rest = zip(COLUMNS, self.cells(), strict=True)
        return f"{fault}: " + ", ".join(f"{name} {cell}" for name, cell in rest)

    def document(self) -> dict[str, object]:
        """Answer the round as JSON values."""
        books = asdict(self.books)
        del books["examples"]
        return {
            "fault": self.fault,
            **books,
            "recovered_seconds": round(self.recovered_seconds, 1),
            "broken": self.broken(),
        }


def unfinished(fault: str, problem: str) -> Round:
    """Stand for a round that did not come to its end."""
    return Round(fault, tally((), (), (), ()), 0.0, amiss=(f"did not come to its end: {problem}",))


def table(rows: Iterable[tuple[str, ...]]) -> Table:
    """Draw rows of cells under the columns."""
    drawn = Table(box=SIMPLE)
    drawn.add_column(COLUMNS[0])
    for name in COLUMNS[1:]:
        drawn.add_column(name, justify="right")
    for row in rows:
        drawn.add_row(*row)
    return drawn
