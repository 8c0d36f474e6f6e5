"""Alerts, runbooks and the dashboard speak of what Kabar has, and of one another; promtool takes the rules."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from schemas.catalogue import Catalogue, Lane
from tests.house.commands import complaint
from tests.house.promql import complaints, names_in, series_of
from worker.bootstrap import ROLES
from worker.broker.topology import topology
from worker.deployment import BUILT_IN_EVENTS
from worker.dev.promtool import find_promtool
from worker.errors import ServiceUnavailable
from worker.settings import ChannelName, Settings, variable

CHECKOUT = Path(__file__).parents[2]
PROMETHEUS = CHECKOUT / "deploy/prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
RULE_TESTS: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "alerts_test.yaml").read_text("utf-8"))["tests"]
RUNBOOKS = {
    f"docs/runbooks/{path.name}": path.read_text("utf-8")
    for path in sorted((CHECKOUT / "docs/runbooks").glob("*.md"))
    if path.name != "README.md"
}
INDEX = (CHECKOUT / "docs/runbooks/README.md").read_text("utf-8")
DASHBOARD: dict[str, Any] = json.loads((CHECKOUT / "deploy/grafana/kabar.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
LONGEST_PAGE = 40
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def written(pattern: str) -> set[str]:
    """Answer what the program's source has in the place of the pattern's group."""
    return {
        found for path in (CHECKOUT / "worker").rglob("*.py") for found in re.findall(pattern, path.read_text("utf-8"))
    }


VALUES: dict[str, AbstractSet[str]] = {
    "job": {"kabar"},
    "role": set(ROLES),
    "lane": {str(lane) for lane in Lane},
    "channel": set(get_args(ChannelName)),
    "queue": {queue.name for queue in topology(Catalogue.of_modules(BUILT_IN_EVENTS), get_args(ChannelName)).queues},
    "cause": written(r'"(\w+)": (?:self\._?\w+(?:\.link)?\.(?:outage|blocked)|"shutting down")'),
    "stage": written(r'metrics\.(?:Timed\(|defects\.labels\()"(\w+)"'),
    "kind": written(r'metrics\.timer_work\.labels\("(\w+)"'),
    "outcome": written(r'metrics\.events\.labels\("(\w+)"'),
    "state": {"waiting", "queued", "leased", "sent", "refused", "unsure", "dead", "skipped", "expired", "cancelled"},
}


def title_of(rule: dict[str, Any]) -> str:
    return f"{rule['alert']} {rule['labels']['severity']}"


def expressions(panel: dict[str, Any]) -> Iterator[str]:
    for target in panel["targets"]:
        yield target["expr"].replace('=~"$channel"', '=~".*"')


@pytest.mark.parametrize("rule", RULES, ids=title_of)
def test_an_alert_stands_on_metrics_that_kabar_has(rule: dict[str, Any]) -> None:
    """No alert waits for a metric, a label or a value that never comes."""
    assert complaints(rule["expr"], VALUES) == []


@pytest.mark.parametrize("rule", RULES, ids=title_of)
def test_an_alert_says_what_it_means_and_where_to_read_on(rule: dict[str, Any]) -> None:
    """Whoever is called knows how urgent it is, what it means, and which page says what to do."""
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert re.fullmatch(r"\d+[mh]", rule["for"])
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] in RUNBOOKS


@pytest.mark.parametrize("page", RUNBOOKS)
def test_a_runbook_belongs_to_the_alerts_it_names(page: str) -> None:
    """A page is found from its alert, says which it is for, and is short enough to be read at 3 a.m."""
    lines = RUNBOOKS[page].splitlines()
    linking = {rule["alert"] for rule in RULES if rule["annotations"]["runbook_url"] == page}

    assert linking
    assert set(re.findall(r"`(Kabar\w+)`", lines[2])) == linking
    assert [line for line in lines if line.startswith("#")][1:] == ["## Symptom", "## Check", "## Do", "## Verify"]
    assert len(lines) <= LONGEST_PAGE
    assert [line for line in lines if line.replace("```", "").count("`") % 2] == [], (
        "a command that is broken over lines cannot be copied"
    )
    assert all((CHECKOUT / "docs/runbooks" / link).exists() for link in re.findall(r"\]\(([^)]+)\)", RUNBOOKS[page]))


def test_the_index_names_every_runbook_and_every_alert() -> None:
    """The list of the runbooks is complete, and each of its lines leads to the right page."""
    rows = dict(re.findall(r"^\| \[[^]]+\]\(([\w-]+\.md)\) \| (.+) \|$", INDEX, re.MULTILINE))

    assert {f"docs/runbooks/{name}" for name in rows} == RUNBOOKS.keys()
    for name, alerts in rows.items():
        page = f"docs/runbooks/{name}"
        linking = {rule["alert"] for rule in RULES if rule["annotations"]["runbook_url"] == page}
        assert set(re.findall(r"`(\w+)`", alerts)) == linking


@pytest.mark.parametrize("page", RUNBOOKS)
def test_a_runbook_sends_nobody_to_a_metric_that_is_not_there(page: str) -> None:
    """Every metric and every selector in a runbook is one that Kabar has."""
    families = {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in series_of()}
    spoken = re.findall(r"`([^`\n]*\bkabar_[^`\n]*)`", RUNBOOKS[page])

    assert names_in(RUNBOOKS[page]) <= series_of().keys() | families
    assert [wrong for each in spoken if "{" in each for wrong in complaints(each, VALUES)] == []


@pytest.mark.parametrize("page", RUNBOOKS)
def test_a_runbook_names_commands_that_there_are(page: str) -> None:
    """What somebody copies from a page at 3 a.m. is taken by the program."""
    commands = re.findall(r"`kabar ([a-z][^`]*)`", RUNBOOKS[page])

    assert [wrong for each in commands if (wrong := complaint(each.split()))] == []


@pytest.mark.parametrize("page", RUNBOOKS)
def test_a_runbook_names_settings_that_there_are(page: str) -> None:
    """Every variable that a runbook tells to change is one that Kabar reads."""
    assert set(re.findall(r"KABAR_\w+", RUNBOOKS[page])) <= {variable(field) for field in Settings.model_fields}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_shows_metrics_that_kabar_has(panel: dict[str, Any]) -> None:
    """No panel stays empty for want of a metric, and each asks the Prometheus that was chosen above it."""
    assert [wrong for expression in expressions(panel) for wrong in complaints(expression, VALUES)] == []
    assert panel["description"]
    assert panel["datasource"] == DATASOURCE
    assert all(target["datasource"] == DATASOURCE for target in panel["targets"])


def test_the_dashboard_can_be_imported_anywhere() -> None:
    """It asks for the Prometheus to use, every panel has a place and a number of its own, and none hides another."""
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    variables = {each["name"]: each["type"] for each in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]+)\b", json.dumps(PANELS)))

    assert variables["datasource"] == "datasource"
    assert used <= variables.keys()
    assert len(ids) == len(set(ids))
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, two in combinations(places, 2):
        beside = one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
        above = one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"]
        assert beside or above


def test_every_metric_is_looked_at() -> None:
    """Nothing is measured that neither an alert nor the dashboard shows."""
    shown = "\n".join([*(rule["expr"] for rule in RULES), *(each for panel in PANELS for each in expressions(panel))])
    families = {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in series_of()}

    assert [name for name in sorted(families) if not re.search(rf"\b{name}(?:_bucket|_sum|_count)?\b", shown)] == []


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ('sum by (le, stage) (rate(kabar_stage_seconds_bucket{stage="lease"}[5m]))', []),
        ("kabar_stage_seconds", ["no metric kabar_stage_seconds"]),
        ("rate(kabar_events[5m])", ["no metric kabar_events"]),
        ("max by (lane) (kabar_in_flight)", ["no metric here has a label lane"]),
        ('kabar_ready{stage="x"}', ["kabar_ready has no label stage"]),
        ('kabar_ready{role=~"intake|couriers"}', ["kabar_ready: role is never couriers"]),
        ("quantil(0.9, up)", ["no metric quantil"]),
    ],
)
def test_an_expression_that_would_stay_silent_is_noticed(expression: str, wrong: list[str]) -> None:
    """The check of expressions lets real ones pass, and only those."""
    assert complaints(expression, VALUES) == wrong


@pytest.fixture(scope="module")
def promtool() -> Path:
    """Prometheus' own checker, fetched at the first use. Where it cannot be had, CI fails and others do without."""
    try:
        return find_promtool()
    except ServiceUnavailable as error:
        if os.environ.get("KABAR_REQUIRE_PROMTOOL") == "1":
            raise
        pytest.skip(f"no promtool: {error}")


def run(promtool: Path, *arguments: str | Path) -> str:
    """Answer what promtool complains of."""
    told = subprocess.run([promtool, *arguments], check=False, capture_output=True, text=True)
    return "" if told.returncode == 0 else told.stdout + told.stderr


def test_prometheus_takes_the_configuration_and_the_rules(promtool: Path) -> None:
    """Prometheus starts with our configuration, and every rule in it is well formed."""
    assert run(promtool, "check", "config", PROMETHEUS / "prometheus.yml") == ""


def test_the_alerts_call_when_they_should(promtool: Path) -> None:
    """On the courses of events in the test of the rules, each alert fires that should, and no other."""
    assert run(promtool, "test", "rules", PROMETHEUS / "alerts_test.yaml") == ""


def test_a_rule_that_does_not_call_is_noticed(promtool: Path, tmp_path: Path) -> None:
    """The test of the rules fails where an alert has lost its point."""
    rules = (PROMETHEUS / "alerts.yaml").read_text("utf-8")
    (tmp_path / "alerts.yaml").write_text(rules.replace("max(kabar_dead_letters_open) > 0", "vector(0) > 0"))
    concerned = [test for test in RULE_TESTS if "KabarDeadLettersOpen" in test["promql_expr_test"][0]["expr"]]
    (tmp_path / "alerts_test.yaml").write_text(yaml.safe_dump({"rule_files": ["alerts.yaml"], "tests": concerned}))

    assert "KabarDeadLettersOpen" in run(promtool, "test", "rules", tmp_path / "alerts_test.yaml")


def test_every_alert_is_tried() -> None:
    """Each alert, in each of its severities, fires in one course of events; and none does while all is well."""
    first, *others = RULE_TESTS
    expected = [
        sample["labels"] for test in others for each in test["promql_expr_test"] for sample in each["exp_samples"]
    ]
    fired = {
        " ".join(re.search(rf'{label}="(\w+)"', labels)[1] for label in ("alertname", "severity"))  # type: ignore[index]
        for labels in expected
    }

    assert fired == {title_of(rule) for rule in RULES}
    assert first["promql_expr_test"] == [{"expr": 'ALERTS{alertstate="firing"}', "eval_time": "90m", "exp_samples": []}]
