"""What the documents give to editors and CI systems: parsed, and tried on real output."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-c", "from preview.cli import main; main()"]
FILES = {
    "main.py": "from inner import boom\nboom()\n",
    "inner.py": 'def boom():\n    raise KeyError("missing")\n',
    "preview.toml": '[start]\ncommand = ["python", "main.py"]\n',
}
# VS Code's patterns are JavaScript's.
MATCH = """
const [pattern, text] = JSON.parse(require("fs").readFileSync(0, "utf8"));
const found = text.split("\\n").map((line) => new RegExp(pattern.regexp).exec(line)).filter(Boolean);
console.log(JSON.stringify(found.map((one) => [one[pattern.file], Number(one[pattern.line]), one[pattern.message]])));
"""


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / "docs" / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("node") is None, reason="VS Code's patterns need Node to try")
def test_the_problem_matcher_finds_the_frames_of_a_real_traceback(tmp_path: Path, shared_cache: Path) -> None:
    project = tmp_path / "project folder"
    project.mkdir()
    for path, text in FILES.items():
        (project / path).write_text(text)
    own = {"PREVIEW_DATA_DIR": str(tmp_path / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}
    ran = subprocess.run(
        [*PROGRAM, "run", str(project)], env={**os.environ, **own}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode != 0
    tasks = json.loads(blocks("editors.md", "json")[0])["tasks"]
    matcher = tasks[0]["problemMatcher"]
    asked = json.dumps([matcher["pattern"], ran.stdout])
    done = subprocess.run(["node", "-e", MATCH], input=asked, capture_output=True, text=True, check=True)
    assert [one[:2] for one in json.loads(done.stdout)] == [["main.py", 2], ["inner.py", 2]]
    background = matcher["background"]
    for pattern in ("beginsPattern", "endsPattern"):
        assert any(re.search(background[pattern], line) for line in ran.stdout.splitlines())


def commands_of(job: Any) -> list[str]:
    if "steps" in job:
        assert all(("uses" in step) != ("run" in step) for step in job["steps"])
        return [step["run"] for step in job["steps"] if "run" in step]
    return [*job["before_script"], *job["script"]]


def test_the_files_for_github_and_gitlab_are_what_these_read() -> None:
    github, gitlab = (yaml.safe_load(block) for block in blocks("ci.md", "yaml")[:2])
    # YAML 1.1 reads the key `on` as true, and so does GitHub.
    assert set(github) == {True, "jobs", "permissions"}
    assert set(github[True]) == {"pull_request", "workflow_call"}
    assert gitlab["preview"]["artifacts"]["reports"] == {"junit": "report.xml"}
    for job in (*github["jobs"].values(), gitlab["preview"]):
        (call,) = [one for one in commands_of(job) if one.startswith("preview ")]
        options = {one for one in shlex.split(call) if one.startswith("--")}
        said = subprocess.run([*PROGRAM, "run", "--help"], capture_output=True, text=True, check=True).stdout
        assert all(option in said for option in options)
