"""A project's own modules in C: they are compiled in a step, beside their sources."""

from __future__ import annotations

from pathlib import Path

import pytest
from detection_kit import FASTAPI, plan_of

from preview.detection import Step

SETUP = (
    "from setuptools import Extension, setup\nfrom Cython.Build import cythonize\n"
    "setup(name='fast', ext_modules=cythonize([Extension('fast', ['fast.pyx'])]))\n"
)
BUILD = ("python", "setup.py", "build_ext", "--inplace")


@pytest.mark.parametrize("folder", ["", "backend/"])
def test_the_modules_that_setup_describes_are_compiled(tmp_path: Path, folder: str) -> None:
    files = {f"{folder}main.py": f"import fast\n{FASTAPI}", f"{folder}setup.py": SETUP, f"{folder}requirements.txt": ""}
    plan = plan_of(tmp_path, files)
    why = f"{folder}setup.py describes modules that have to be compiled"
    assert plan.steps[0] == Step("extension", BUILD, folder.rstrip("/") or ".", why)
    assert plan.extra_requirements == ("setuptools", "cython")


@pytest.mark.parametrize("setup", ["", "from setuptools import setup\nsetup(name='shop')\n", "# ext_modules\n"])
def test_a_setup_without_extensions_makes_no_step(tmp_path: Path, setup: str) -> None:
    plan = plan_of(tmp_path, {"main.py": FASTAPI, "setup.py": setup})
    assert (plan.steps, plan.extra_requirements) == ((), ())
