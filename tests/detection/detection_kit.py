"""Small projects, written where a test wants them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from preview.detection import Overrides, StartPlan, detect

__all__ = ["FASTAPI", "FLASK", "MANAGE", "plan_of", "values_of", "write"]

FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"
FLASK = "from flask import Flask\napp = Flask(__name__)\n"
MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def plan_of(folder: Path, files: Mapping[str, str], overrides: Overrides | None = None) -> StartPlan:
    return detect(write(folder, files), overrides)


def values_of(plan: StartPlan) -> dict[str, str]:
    return {name: variable.value for name, variable in plan.variables.items()}
