"""What a PromQL expression speaks of, and whether Kabar has it: names, labels and the values they are compared with.

Simple but strict: it knows the functions and words our rules use, and complains of every other word that is no metric.
Whether an expression is well formed is promtool's to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from prometheus_client.metrics import MetricWrapperBase

from worker import metrics
from worker.dev.generate import labels_of

FUNCTIONS = {
    "absent", "avg", "changes", "delta", "deriv", "histogram_quantile", "increase", "label_replace", "max", "min",
    "min_over_time", "rate", "sum", "time",
}  # fmt: skip
WORDS = {"and", "or", "unless"}
OF_THE_SCRAPE = frozenset({"instance", "job"})
USUAL = {"up": OF_THE_SCRAPE} | {
    sample.name: OF_THE_SCRAPE for family in metrics.PROCESS.collect() for sample in family.samples
}
_TOKEN = re.compile(
    r"""(?P<grouping>(?:by|on)\s*\((?P<labels>[^)]*)\))
      | (?P<series>[a-zA-Z_:][\w:]*)\s*(?:\{(?P<matchers>[^}]*)\})?
      | (?P<range>\[[^\]]*\])
      | (?P<text>"[^"]*")
      | (?P<number>\d+(?:\.\d+)?)
      | (?P<mark>[-+*/%^()<>=!,]+)
      | \s+""",
    re.VERBOSE,
)
_MATCHER = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"\s*(?:,|$)')


@dataclass(frozen=True, slots=True)
class Matcher:
    """A comparison of a label with a value or a pattern."""

    label: str
    operator: str
    value: str

    def wanted(self) -> Iterator[str]:
        """Answer the values or patterns that must each be able to occur."""
        yield from self.value.split("|") if self.operator.endswith("~") and "(" not in self.value else [self.value]


def series_of() -> dict[str, frozenset[str]]:
    """Answer every series that a process shows, with its labels."""
    found: dict[str, frozenset[str]] = {}
    for each in vars(metrics).values():
        if isinstance(each, MetricWrapperBase):
            (described,) = each.describe()
            own = frozenset(labels_of(each)) | OF_THE_SCRAPE
            match described.type:
                case "counter":
                    found[f"{described.name}_total"] = own
                case "histogram":
                    found |= {f"{described.name}_{end}": own for end in ("sum", "count")}
                    found[f"{described.name}_bucket"] = own | {"le"}
                case _:
                    found[described.name] = own
    return found


def complaints(expression: str, values: Mapping[str, AbstractSet[str]]) -> list[str]:
    """Answer what in an expression Kabar does not have. `values`: those that each label can take."""
    series = series_of() | USUAL
    wrong: list[str] = []
    grouped: set[str] = set()
    had: set[str] = set()
    for token in _tokens(expression):
        if token["grouping"]:
            grouped |= {label.strip() for label in token["labels"].split(",") if label.strip()}
        elif (name := token["series"]) and name not in FUNCTIONS | WORDS:
            if name not in series:
                wrong.append(f"no metric {name}")
                continue
            had |= series[name]
            wrong += _mismatches(name, token["matchers"] or "", series[name], values)
    return [*wrong, *(f"no metric here has a label {label}" for label in sorted(grouped - had))]


def names_in(text: str) -> set[str]:
    """Answer every word of a text that looks like one of our metrics."""
    return set(re.findall(r"\bkabar_[a-z_]+", text))


def _tokens(expression: str) -> Iterator[re.Match[str]]:
    position = 0
    while position < len(expression):
        token = _TOKEN.match(expression, position)
        if token is None:
            raise ValueError(f"not understood: {expression[position:]}")
        position = token.end()
        yield token


def _mismatches(
    name: str, text: str, labels: AbstractSet[str], values: Mapping[str, AbstractSet[str]]
) -> Iterator[str]:
    for matcher in _matchers(text):
        if matcher.label not in labels:
            yield f"{name} has no label {matcher.label}"
        elif matcher.label in values:
            for wanted in matcher.wanted():
                if not any(re.fullmatch(wanted, value) for value in values[matcher.label]):
                    yield f"{name}: {matcher.label} is never {wanted}"


def _matchers(text: str) -> Iterator[Matcher]:
    position = 0
    while position < len(text):
        found = _MATCHER.match(text, position)
        if found is None:
            raise ValueError(f"no matchers: {{{text}}}")
        position = found.end()
        yield Matcher(*found.groups())
