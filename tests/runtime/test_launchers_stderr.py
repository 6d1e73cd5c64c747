"""A Node program's standard error with marks: in order, and never in what another program reads."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from preview.runtime.launchers import LISTEN_HOOK

E = "\x1b]7473;;2\x1b\\"
PROGRAM = r"""
const { spawnSync } = require('child_process');
const node = (code, stdio) => spawnSync(process.execPath, ['-e', code], { stdio, encoding: 'utf8' }).stderr;
console.log(JSON.stringify(node('console.error("read")')));
process.stderr.write('a'); process.stderr.write('b\n\nc\n');
console.error('é'); console.log('out'); console.warn('%s', 'w');
process.stderr.write('\r1'); process.stderr.write('\r2\n');
process.stderr.write(Buffer.from('é\nx\n'));
process.stderr.write(Buffer.from([0xc3])); process.stderr.write(Buffer.from([0xa9, 10])); process.stderr.write('');
node('console.error("inherited")', 'inherit');
process.stderr.write('end\n', () => console.log('called'));
try { process.stderr.write({}); } catch (error) { console.log(error.code); }
require('fs').writeSync(2, 'raw\n');
"""
PRINTED = (
    f'"read\\n"\n{E}a{E}b\n{E}\n{E}c\n{E}é\nout\n{E}w\n{E}\r{E}1{E}\r{E}2\n{E}é\n{E}x\n{E}é\n{E}inherited\n{E}end\n'
    "ERR_INVALID_ARG_TYPE\nraw\ncalled\n"
)


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node on this machine")
def test_each_line_of_standard_error_has_its_mark_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "program.cjs").write_text(PROGRAM)
    assert run(["node", "program.cjs"], tmp_path) == PRINTED


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node on this machine")
def test_what_does_not_go_to_the_log_has_no_mark(tmp_path: Path) -> None:
    (tmp_path / "say.cjs").write_text("console.error('said')")
    command = "V=$(node say.cjs 2>&1); node say.cjs 2> file; node say.cjs; echo $V; cat file"
    assert run(["sh", "-c", command], tmp_path) == f"{E}said\nsaid\nsaid\n"


def run(command: list[str], folder: Path) -> str:
    """Return what it prints, with the pipe as the log."""
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8", newline="") as read:
        log = os.fstat(writing)
        variables = {
            "PREVIEW_LISTENER": "99:1",
            "PREVIEW_STDERR": f"{log.st_dev}:{log.st_ino}",
            "NODE_OPTIONS": f"--require {LISTEN_HOOK}",
        }
        done = subprocess.Popen(command, cwd=folder, env={**os.environ, **variables}, stdout=writing, stderr=writing)
        os.close(writing)
        said = read.read()
    assert done.wait(timeout=120) == 0
    return said
