"""Old packages import what this Python no longer has: it is given back, and told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from preview.runtime.launchers.paths import LAUNCHERS


def run(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    (tmp_path / "old.py").write_text(code)
    script = (
        f"import sys; sys.path[0] = {str(LAUNCHERS)!r}; import preview_serving; "
        f"preview_serving.become_main({str(tmp_path)!r}, 'old:app'); import old"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    # Standard error of a server is the log, which reads the marks.
    done.stderr = done.stderr.replace("\x1b]7473;;2\x1b\\", "")
    return done


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("from collections import Callable, OrderedDict\nassert isinstance(len, Callable)", "collections.Callable"),
        ("import collections\nassert issubclass(dict, collections.MutableMapping)", "collections.MutableMapping"),
        ("import inspect\nassert inspect.getargspec(lambda a, *b: 0).varargs == 'b'", "inspect.getargspec"),
        ("import time\nassert time.clock() >= 0", "time.clock"),
        ("from base64 import encodestring\nassert encodestring(b'a')", "base64.encodestring"),
    ],
)
def test_a_name_that_python_dropped_is_given_back_and_told(code: str, name: str, tmp_path: Path) -> None:
    done = run(code, tmp_path)
    assert done.stderr == f"{name} was removed from this Python version and is restored, because old uses it\n"
    assert done.returncode == 0


def test_it_is_told_once(tmp_path: Path) -> None:
    done = run("import collections\nfor _ in range(3): collections.Mapping\n", tmp_path)
    assert done.stderr.count("\n") == 1


def test_a_name_that_never_was_is_an_error_as_ever(tmp_path: Path) -> None:
    done = run("import collections\ncollections.Nonsense\n", tmp_path)
    assert done.stderr.endswith("AttributeError: module 'collections' has no attribute 'Nonsense'\n")


def test_what_needs_nothing_hears_nothing(tmp_path: Path) -> None:
    done = run("import collections, inspect\nfrom collections import *\n", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
