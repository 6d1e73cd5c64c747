"""The files for Prometheus and Grafana: valid, tested, and only of metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "monitoring"
_TABLE = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
_ENDINGS = ("_bucket", "_count", "_sum")


def expressions() -> list[str]:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = (FOLDER / "alerts.yml").read_text()
    found += re.findall(r"expr: (?!\|)(.*)", rules)
    found += re.findall(r"expr: \|\n((?: {10}.*\n)+)", rules)
    return found


def test_each_metric_of_the_rules_and_the_dashboard_exists() -> None:
    known = {name for name, _, _ in _TABLE}
    known |= {f"{name}{ending}" for name, kind, _ in _TABLE if kind == "histogram" for ending in _ENDINGS}
    used = {name for one in expressions() for name in re.findall(r"\bpreview_\w+", re.sub(r'"[^"]*"', "", one))}
    assert len(used) > 20
    assert used - known == set()


def test_each_label_that_they_group_by_exists() -> None:
    labels = {word for _, _, text in _TABLE for word in re.findall(r"`(\w+)`", text)} | {"instance", "job", "le"}
    grouped = {
        word.strip() for one in expressions() for part in re.findall(r"by \(([^)]*)\)", one) for word in part.split(",")
    }
    assert grouped <= labels


def test_each_alert_is_documented() -> None:
    alerts = set(re.findall(r"alert: (\w+)", (FOLDER / "alerts.yml").read_text()))
    page = (ROOT / "docs" / "monitoring.md").read_text()
    assert alerts == set(re.findall(r"`(Preview\w+)`", page))


@pytest.mark.parametrize("command", [["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]])
def test_promtool_takes_the_files(command: list[str]) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    done = subprocess.run([program, *command], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
