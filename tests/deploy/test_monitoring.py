"""deploy/ and docs/monitoring.md describe the metrics that a running server exports."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.configuration import ROOT
from tests.harness.processes import free_port, running_server
from tests.harness.programs import get_program
from tests.harness.scraping import Scrape, read, read_now

DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
PANELS_PAGE = (DEPLOY / "grafana-dashboard.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text(encoding="utf-8"))
RULES = (DEPLOY / "alerts.yml").read_text(encoding="utf-8")
TESTS = (ROOT / "tests" / "deploy" / "alerts.yml").read_text(encoding="utf-8")
ALERTS = re.findall(r"- alert: (\w+)", RULES)
# Sample values of the variables that Grafana fills in.
VARIABLES = {"$job": "userauth", "$instance": ".*", "$__rate_interval": "1m"}
needs_promtool = pytest.mark.needs("promtool")


def promtool(*arguments: str | Path, stdin: str = "") -> str:
    """Run promtool successfully; return its output."""
    ended = subprocess.run(
        [get_program("promtool"), *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def panels() -> Iterator[dict[str, Any]]:
    return (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


EXPRESSIONS = [
    (panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]
]


def filled(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


def metrics_in(expressions: str) -> set[str]:
    """Return the names of the metrics in expressions."""
    return set(re.findall(r"\b((?:userauth|process|python)_\w+)(?={)", expressions))


def labels_in(expressions: str) -> set[tuple[str, str]]:
    """Return each label with each value in expressions."""
    asked = re.findall(r'(route|method|problem|kind|reason|lookup)=~?"([^"]+)"', expressions)
    return {(label, value) for label, values in asked for value in values.split("|")}


def table(heading: str, page: str = PAGE) -> list[list[str]]:
    """Return the cells of the table under a heading of a page."""
    section = page.partition(f"# {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        for row in rows[2:]
    ]


@pytest.fixture(scope="module")
def scrape(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Scrape:
    """Return the metrics of a server process after a request."""
    port = free_port()
    folder = tmp_path_factory.mktemp("metrics")
    variables = {
        "DATABASE_URL": postgres,
        "USERAUTH_METRICS__PORT": str(port),
        "USERAUTH_MAIL__URL": f"folder:{folder / 'messages'}",
        "USERAUTH_MAIL__FROM": "no-reply@example.com",
    }
    with running_server(variables, folder / "log") as server:
        read_now(f"{server.url}/health/live")
        return read(read_now(f"http://127.0.0.1:{port}/metrics"))


def families(scrape: Scrape) -> dict[str, str]:
    """Return the type of each metric, by its name without the suffixes of histograms."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", scrape.text, re.MULTILINE))


@needs_promtool
def test_promtool_accepts_the_metrics(scrape: Scrape) -> None:
    ours = "".join(
        line
        for line in scrape.text.splitlines(keepends=True)
        if re.match(r"(# \w+ )?userauth_", line)
    )
    assert promtool("check", "metrics", stdin=ours) == ""


@needs_promtool
def test_promtool_accepts_the_configuration_of_prometheus() -> None:
    output = promtool("check", "config", DEPLOY / "prometheus.yml")
    assert "is valid" in output
    assert "1 rule files found" in output


@needs_promtool
def test_promtool_accepts_the_alerts() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", DEPLOY / "alerts.yml")
    assert len(set(ALERTS)) == len(ALERTS) > 8


@needs_promtool
def test_each_alert_fires_only_when_it_should() -> None:
    promtool("test", "rules", ROOT / "tests" / "deploy" / "alerts.yml")


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_a_case_that_fires_and_one_that_does_not(alert: str) -> None:
    cases = re.split(r"\n  - name: ", TESTS)[1:]
    [case] = [case for case in cases if f"alertname: {alert}\n" in case]
    assert "exp_alerts:" in case
    instances = set(re.findall(r'instance="([^"]+)"', case))
    quiet = re.search(rf"alertname: {alert}\n(?!\s+exp_alerts)", case + "\n")
    assert len(instances) > 1 or quiet, "no case without the alert"


def test_the_dashboard_can_be_imported() -> None:
    assert DASHBOARD["uid"] == "userauth"
    assert "id" not in DASHBOARD
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    titles = [panel["title"] for panel in panels()]
    assert len(set(titles)) == len(titles) > 15
    places = [tuple(sorted(panel["gridPos"].items())) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    for panel in panels():
        grid = panel["gridPos"]
        assert 0 <= grid["x"] <= 24 - grid["w"]
        assert panel["datasource"]["uid"] == "${datasource}"


@needs_promtool
def test_promtool_accepts_the_expressions_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": filled(expression)}
        for number, (_, expression) in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "rules.yml"
    # JSON is YAML.
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)
    assert "$" not in "".join(str(rule["expr"]) for rule in rules)


def test_each_expression_selects_the_server() -> None:
    for title, expression in EXPRESSIONS:
        asked = len(re.findall(r"(?:userauth|process)_\w+{|\bup{", expression))
        assert asked == expression.count('job="$job",instance=~"$instance"') > 0, title


@pytest.mark.parametrize("expressions", [RULES, json.dumps(EXPRESSIONS)], ids=["rules", "panels"])
def test_each_metric_in_an_expression_exists_with_its_labels(
    scrape: Scrape, expressions: str
) -> None:
    expressions = expressions.replace('\\"', '"')
    asked = metrics_in(expressions)
    assert len(asked) > 5
    assert asked <= scrape.names
    known = {label: scrape.labels(label) for label in ("problem", "kind", "reason", "lookup")}
    for label, value in labels_in(expressions):
        assert label in {"route", "method"} or value in known[label], (label, value)


def test_each_metric_is_documented_with_its_type(scrape: Scrape) -> None:
    documented = {row[0].strip("`"): row[1] for row in table("What is measured")}
    ours = {name: kind for name, kind in families(scrape).items() if name.startswith("userauth_")}
    assert documented == ours


def test_each_label_is_documented(scrape: Scrape) -> None:
    documented = {
        row[0].strip("`"): set(re.findall(r"`(\w+)`", row[2])) for row in table("What is measured")
    }
    for name, labels in scrape.samples:
        family = name if name in documented else re.sub(r"_(bucket|sum|count)$", "", name)
        if family.startswith("userauth_"):
            assert {label for label, _ in labels} - {"le"} == documented[family], name


def test_each_alert_is_documented() -> None:
    assert [row[0].strip("`") for row in table("Alerts")] == ALERTS


def test_the_panels_are_documented_with_their_expressions() -> None:
    documented = [
        (row[0], row[1].strip("`")) for row in table("The dashboard's panels", PANELS_PAGE)
    ]
    assert documented == EXPRESSIONS


def test_the_documented_port_is_the_one_that_prometheus_scrapes() -> None:
    [port] = set(re.findall(r"127\.0\.0\.1:(\d+)", (DEPLOY / "prometheus.yml").read_text("utf-8")))
    assert f"USERAUTH_METRICS__PORT={port}" in PAGE
