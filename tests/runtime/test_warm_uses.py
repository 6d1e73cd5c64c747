"""What a template does with packages so that forks find it done: it works, starts no thread, and leaves nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from preview.runtime import warm

TEMPLATE = Path(warm.__file__).parent / "template"

# In a process of its own, as these packages are loaded in this one. argv: the template's folder, what is used.
USE = """
import gc, importlib, os, sys, threading, weakref
sys.path.insert(0, sys.argv[1])
importlib.import_module(sys.argv[2])
import preview_warmups
def start(thread): raise AssertionError("a thread is started")
threading.Thread.start = start
before = set(os.listdir("/proc/self/fd"))
preview_warmups._USES[sys.argv[2]]()
preview_warmups._USES[sys.argv[2]]()
gc.collect()
kept = [one for one in gc.get_objects() if isinstance(one, type) and one.__module__ == "preview_warmups"]
print(set(os.listdir("/proc/self/fd")) == before, kept if sys.argv[2].startswith("sqlalchemy") else [])
"""


@pytest.mark.parametrize("package", ["sqlalchemy", "sqlalchemy.orm", "fastapi", "flask", "jinja2"])
def test_a_package_is_used_without_a_thread_and_without_a_trace(package: str) -> None:
    argv = [sys.executable, "-I", "-c", USE, str(TEMPLATE), package]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.stdout, ran.stderr) == ("True []\n", "")
