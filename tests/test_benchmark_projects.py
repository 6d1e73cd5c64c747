"""The benchmark of public projects: its tables, its file of results, and the route table of a Python application."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

from endpoints import normalise
from projects import Measured, read, tables

from preview.endpoints import extract

ROOT = Path(__file__).resolve().parent.parent
SHOP = Measured("shop", "0123456789ab", "flask", True, seconds=2.5, answers=[("/", 200), ("/a", 500)], found=4, true=5)
SHOP.missed, SHOP.wrong = ["GET /b", "GET /c"], ["GET /d"]
BLOG = Measured("blog", framework="django", said="failed: a | b", found=3)


def test_the_tables_count_by_framework_and_name_each_project() -> None:
    rows = tables([SHOP, BLOG]).splitlines()
    assert rows[2:5] == [
        "| django | 1 | 0 | 0 of 0 |  |  |",
        "| flask | 1 | 1 | 1 of 2 | 0.750 | 0.600 |",
        "| all | 2 | 1 | 1 of 2 | 0.750 | 0.600 |",
    ]
    assert rows[-2:] == [
        "| shop | 0123456789 | flask | yes | 2.5 | 0.0 | / 200, /a 500 | 4 | 5 |  |",
        r"| blog |  | django | NO | 0.0 | 0.0 |  | 3 |  | failed: a \| b |",
    ]


def test_results_are_read_again_but_for_a_line_that_was_cut(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    assert read(file) == []
    file.write_text(f"{json.dumps(asdict(SHOP))}\n{json.dumps(asdict(BLOG))[:50]}")
    assert read(file) == [SHOP]


FLASK = """
from flask import Flask
app = Flask(__name__)
@app.route("/a/<int:b>", methods=["GET", "PUT"])
def a(b): return ""
"""


@pytest.mark.parametrize("name", ["hello", "bookshop"])
def test_an_applications_own_table_is_the_one_in_its_source(name: str) -> None:
    folder = ROOT / "examples" / name
    target = extract(folder).target
    assert target is not None
    marked = printed("fastapi", str(target), folder, DATABASE_URL="sqlite://")
    own = normalise((method, path) for mark, method, path in marked if mark == "@@route")
    assert own == normalise((one.method, one.path) for one in extract(folder).endpoints)
    assert ("@@also", "GET", "/openapi.json") in marked


def test_a_flask_applications_files_are_no_route_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLASK)
    assert printed("flask", "shop:app", tmp_path) == [
        ("@@also", "GET", "/static/<path:filename>"),
        ("@@route", "GET", "/a/<int:b>"),
        ("@@route", "PUT", "/a/<int:b>"),
    ]


def printed(kind: str, app: str, folder: Path, **variables: str) -> list[tuple[str, ...]]:
    command = [sys.executable, str(ROOT / "benchmarks" / "_routes_python.py"), kind, app, "False", ".", "."]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=60)
    lines = [line for line in done.stdout.splitlines() if line.startswith("@@")]
    assert lines.pop() == "@@done"
    return sorted(tuple(line.split(" ", 2)) for line in lines)
