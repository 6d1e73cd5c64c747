"""The page of figures is written from what benchmarks save."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import benchmarks_page
from _measure import compare, save

ROOT = Path(__file__).resolve().parent.parent
BEFORE = "# Figures\n\n<!-- figures: other -->\nkept\n<!-- end -->\n\nProse, `launch.py`.\n\n"
AFTER = "\nMore | prose.\n\n<!-- figures: last -->\n<!-- end -->\n"
OLD = "<!-- figures: launch -->\nold\n\n| old |\n<!-- end -->\n"
ROUNDS = {"floor": [400.0, 500.0, 600.0], "a | b": [4.0, 20.0, 12345.6]}


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "page.md"
    path.write_text(BEFORE + OLD + AFTER)
    monkeypatch.setattr(benchmarks_page, "PAGE", path)
    return path


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as a benchmark writes it, with the day and the machine of this test."""
    path = tmp_path / "saved.json"
    words = ["benchmarks/launch.py", "--rounds", "3", "--save", str(path), "--python", "/usr/local/bin/python3"]
    monkeypatch.setattr(sys, "argv", words)
    alone = {"many": [0.1] * 20}
    save(path, {"hello": compare(ROUNDS, floor="floor", unit="ms"), "none": compare(alone, floor=None, unit="MiB")})
    machine = {"cores": 2, "machine": "x86_64", "kernel": "6.1.0-cloud", "python": "3.11.9"}
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"date": "2026-11-24", "user": "root", "machine": machine})
    )
    return path


def test_a_section_is_written_again_and_the_rest_of_the_page_stays(page: Path, saved: Path) -> None:
    assert benchmarks_page.main([str(saved)]) == 0
    section = """<!-- figures: launch -->
`launch.py --rounds 3 --python …/python3`
on 2026-11-24, as root; rounds: 3 to 20; 2 cores, Linux 6.1.0, Python 3.11.9.

| what | variant | median | unit | ratio | lower quartile | upper quartile | p95 |
| --- | --- | --- | --- | --- | --- | --- | --- |
| hello | floor | 500 | ms | 1.00 | 450 | 550 |  |
|  | a \\| b | 20.0 | ms | 0.0400 | 12.0 | 6,180 |  |
| none | many | 0.100 | MiB |  | 0.100 | 0.100 | 0.100 |
<!-- end -->
"""
    assert page.read_text() == BEFORE + section + AFTER
    benchmarks_page.main([str(saved)])
    assert page.read_text() == BEFORE + section + AFTER


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["a.py", "--save", "/with a space/b.json", "--quick"], "a.py --quick"),
        (["a.py", "--save=/tmp/b.json"], "a.py"),
        (["a.py", "/srv/my projects/one", "--python=/opt/bin/python3", "b/c"], "a.py …/one --python=…/python3 b/c"),
    ],
)
def test_a_command_is_shown_without_the_folders_of_the_machine(words: list[str], shown: str) -> None:
    assert benchmarks_page.command(words) == shown


def test_a_saved_file_names_its_machine_and_user_and_is_plain_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/flood.py", "--rounds", "1"])
    save(tmp_path / "saved.json", {"one": compare({"it": [1.0]}, floor=None, unit="ms")})

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    run = json.loads((tmp_path / "saved.json").read_text(), parse_constant=refuse)
    assert run["benchmark"] == "flood"
    assert run["command"] == ["flood.py", "--rounds", "1"]
    assert run["user"] == ("root" if os.geteuid() == 0 else "an ordinary user")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", run["date"])
    assert set(run["machine"]) == {"cores", "machine", "kernel", "python"}
    assert run["tables"]["one"][0]["rounds"] == 1
    assert run["tables"]["one"][0]["ratio"] is None


def test_a_section_of_the_run_s_user_comes_before_one_of_all_users(page: Path, saved: Path) -> None:
    own = "<!-- figures: launch, root -->\nroot's\n<!-- end -->\n"
    page.write_text(BEFORE + OLD + own + AFTER)
    assert benchmarks_page.main([str(saved)]) == 0
    assert page.read_text().startswith(BEFORE + OLD + "<!-- figures: launch, root -->\n`launch.py")
    assert "root's" not in page.read_text()


def test_a_benchmark_without_a_section_changes_nothing(page: Path, saved: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps(json.loads(saved.read_text()) | {"benchmark": "unknown"}))
    with pytest.raises(SystemExit, match="needs one section of unknown"):
        benchmarks_page.main([str(saved), str(other)])
    assert page.read_text() == BEFORE + OLD + AFTER


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.0123456, "0.0123"), (-1.5, "-1.50"), (9.996, "10.0"), (999.6, "1,000"), (1234567.0, "1,230,000")],
)
def test_a_number_has_three_digits(value: float, shown: str) -> None:
    assert benchmarks_page.cell(value) == shown


def test_every_section_of_the_page_is_a_benchmark_that_saves() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    marks = re.findall(r"^<!-- (?:figures: )?(\w+(?:, root|, an ordinary user)?) -->$", text, re.MULTILINE)
    names, ends = marks[::2], marks[1::2]
    assert {"launch, root", "launch, an ordinary user", "proxy", "round_trips", "streams"} <= set(names)
    assert len(names) == len(set(names))
    assert ends == ["end"] * len(names)
    assert len(marks) == text.count("<!--")
    for name in names:
        file = name.partition(",")[0]
        assert '"--save"' in (ROOT / "benchmarks" / f"{file}.py").read_text("utf-8")
