"""The examples in the documents are run, and print what the documents say.

A block ``console`` is a session with a shell: each line that begins with ``$`` is a command, the lines below it are its
output. ``…`` stands for any text within a line, and alone on a line for any lines. Times, ids, ports and the like are
compared as such, whatever their values. All blocks of a document are one session, in one shell and in the project's
folder, beside one service; ``URL`` is its address.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cli_service import serving

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 400
# Before the output of each command; no command prints it.
MARK = "\x1e"
VARYING = [
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z|\d\d:\d\d:\d\d\.\d{3}", "TIME"),
    (r"\b\d+(?:\.\d+)? m?s\b", "DURATION"),
    (r"\b(gen|preview|project|share)_[a-z0-9]{16}", r"\1_ID"),
    (r"(localhost|127\.0\.0\.1|port)([: ])\d{4,5}", r"\1\2PORT"),
    (r"\bprocess \d+", "process PID"),
    (r"Python 3\.[\d.]+\d", "Python VERSION"),
    (r'"(elapsed_ms|uptime_seconds|memory_usage_mb|cpu_usage_percent|port)": ?[\d.]+', r'"\1":NUMBER'),
    (r"[ \t]+$", ""),
]


@dataclass(frozen=True)
class Step:
    """A command of a document, and the output below it."""

    line: int
    command: str
    expected: list[str] = field(default_factory=list)


def steps_of(document: Path) -> list[Step]:
    steps: list[Step] = []
    is_session = False
    for number, line in enumerate(document.read_text("utf-8").splitlines(), 1):
        if line.startswith("```"):
            is_session = line == "```console"
        elif is_session and line.startswith("$ "):
            steps.append(Step(number, line[2:]))
        elif is_session:
            steps[-1].expected.append(line)
    return steps


def normal(text: str) -> str:
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return text.strip("\n")


def matches(expected: list[str], printed: str) -> bool:
    lines = [
        r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\n"
        for line in normal("\n".join(expected)).splitlines()
    ]
    return re.fullmatch("".join(lines), normal(printed) + "\n" if printed.strip() else "") is not None


def run_session(steps: list[Step], environment: Mapping[str, str]) -> list[str]:
    """Run the commands in one shell; return what each printed."""
    script = "".join(f"printf '{MARK}'\n{{ {step.command}\n}}\n" for step in steps)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
    )
    return done.stdout.split(MARK)[1:]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A service, and the variables by which commands find it."""
    folders = {f"PREVIEW_{name}_DIR": str(tmp_path_factory.mktemp(name)) for name in ("DATA", "CACHE")}
    with serving(folders) as service:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        yield {**folders, "URL": service.url, "PATH": path, "COLUMNS": "120"}


DOCUMENTS = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if steps_of(path)]


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bwrap") is None, reason="no curl or no bubblewrap")
@pytest.mark.parametrize(
    "document",
    [one if one.name == "README.md" else pytest.param(one, marks=pytest.mark.long) for one in DOCUMENTS],
    ids=lambda path: path.name,
)
def test_the_examples_of_a_document_print_what_it_says(document: Path, environment: dict[str, str]) -> None:
    steps = steps_of(document)
    printed = run_session(steps, environment)
    wrong = [
        f"{document.name}:{step.line}: $ {step.command}\n{text.strip()}"
        for step, text in zip(steps, printed, strict=True)
        if not matches(step.expected, text)
    ]
    assert wrong == [], "\n\n".join(["these print something else:", *wrong])


def test_the_sessions_cover_the_commands_and_the_api() -> None:
    commands = [step.command for path in DOCUMENTS for step in steps_of(path)]
    used = {found[1] for one in commands if (found := re.search(r"\bpreview ([a-z]+)", one))}
    assert {"detect", "endpoints", "run", "push", "launch", "request", "logs", "stop", "ls", "token"} <= used
    assert sum("curl " in one for one in commands) >= 5


@pytest.mark.parametrize(
    ("expected", "printed", "result"),
    [
        (["ready in 0.86 s"], "ready in 1.2 s  \n", True),
        (["a", "…", "z"], "a\nb\nc\nz", True),
        (["a", "…", "z"], "a\nz", True),
        (['{"id":"gen_…",…}'], '{"id":"gen_0123456789abcdef","name":"x"}', True),
        ([], "", True),
        ([], "something", False),
        (["a", "z"], "a\nb\nz", False),
    ],
)
def test_output_is_compared_without_what_varies(expected: list[str], printed: str, result: bool) -> None:
    assert matches(expected, printed) is result
