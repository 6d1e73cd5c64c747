"""The runbook has a section for each alert, and names nothing that does not exist; its sessions are run elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from preview.settings import Settings, variable_of
from preview.settings_secrets import SECRET_FIELDS

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()


def test_each_alert_has_its_meaning_a_place_to_look_and_a_thing_to_do() -> None:
    rules = (ROOT / "deploy" / "monitoring" / "alerts.yml").read_text()
    sections = dict(re.findall(r"^### (Preview\w+)\n(.*?)(?=^##|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
    assert sections.keys() == set(re.findall(r"alert: (\w+)", rules))
    assert [name for name, text in sections.items() if not ("Look:" in text and "Do:" in text)] == []


@pytest.mark.parametrize("document", ["runbook.md", "install.md"])
def test_metrics_and_settings_that_are_named_exist(document: str) -> None:
    text = (ROOT / "docs" / document).read_text()
    metrics = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    assert set(re.findall(r"`(preview_[a-z_]+)`", text)) <= metrics
    known = {variable_of(name) for name in Settings.model_fields} | {"PREVIEW_URL", "PREVIEW_TOKEN"}
    known |= {f"PREVIEW_{name.upper()}_FILE" for name in SECRET_FIELDS}
    assert set(re.findall(r"\b(PREVIEW_[A-Z_]+[A-Z])\b", text)) <= known
