"""Detection of a project's framework and start plan, from its files alone.

Each name is imported on first use (PEP 562): a command that only passes overrides on loads no reader of files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from preview.lazy_imports import importer

if TYPE_CHECKING:
    from preview.detection.detector import detect
    from preview.detection.overrides.choose import read_endpoints
    from preview.detection.overrides.given import Overrides, merge
    from preview.detection.overrides.preview_file import (
        PREVIEW_FILE,
        overrides_from_request,
        overrides_of,
        read_preview_file,
    )
    from preview.detection.own_starts import OWN_BUILD, OWN_START
    from preview.detection.plan import (
        GIVEN,
        MAIN_PROGRAM,
        TABLES_PROGRAM,
        Origin,
        Server,
        ServiceKind,
        ServiceNeed,
        StartPlan,
        Step,
        Toolchain,
        Variable,
        describe_plan,
        is_generated,
        shown_value,
    )
    from preview.detection.python_2 import is_python_2
    from preview.detection.python_versions import OLDER_PYTHON
    from preview.detection.settings import Kind, placeholder_for
    from preview.detection.settings.values import is_secret_name
    from preview.detection.steps import BUILD, COLLECT_STATIC, INIT, MAKE_MIGRATIONS, SEED

__all__ = [
    "BUILD",
    "COLLECT_STATIC",
    "GIVEN",
    "INIT",
    "MAIN_PROGRAM",
    "MAKE_MIGRATIONS",
    "OLDER_PYTHON",
    "OWN_BUILD",
    "OWN_START",
    "PREVIEW_FILE",
    "SEED",
    "TABLES_PROGRAM",
    "Kind",
    "Origin",
    "Overrides",
    "Server",
    "ServiceKind",
    "ServiceNeed",
    "StartPlan",
    "Step",
    "Toolchain",
    "Variable",
    "describe_plan",
    "detect",
    "is_generated",
    "is_python_2",
    "is_secret_name",
    "merge",
    "overrides_from_request",
    "overrides_of",
    "placeholder_for",
    "read_endpoints",
    "read_preview_file",
    "shown_value",
]

__getattr__ = importer(
    __name__,
    {
        "BUILD": "preview.detection.steps",
        "COLLECT_STATIC": "preview.detection.steps",
        "GIVEN": "preview.detection.plan",
        "INIT": "preview.detection.steps",
        "Kind": "preview.detection.settings.model",
        "MAIN_PROGRAM": "preview.detection.plan",
        "MAKE_MIGRATIONS": "preview.detection.steps",
        "OLDER_PYTHON": "preview.detection.python_versions",
        "OWN_BUILD": "preview.detection.own_starts",
        "OWN_START": "preview.detection.own_starts",
        "Origin": "preview.detection.plan",
        "Overrides": "preview.detection.overrides.given",
        "PREVIEW_FILE": "preview.detection.overrides.preview_file",
        "SEED": "preview.detection.steps",
        "Server": "preview.detection.plan",
        "ServiceKind": "preview.detection.plan",
        "ServiceNeed": "preview.detection.plan",
        "StartPlan": "preview.detection.plan",
        "Step": "preview.detection.plan",
        "TABLES_PROGRAM": "preview.detection.plan",
        "Toolchain": "preview.detection.plan",
        "Variable": "preview.detection.plan",
        "describe_plan": "preview.detection.plan",
        "detect": "preview.detection.detector",
        "is_generated": "preview.detection.plan",
        "is_python_2": "preview.detection.python_2",
        "is_secret_name": "preview.detection.settings.values",
        "merge": "preview.detection.overrides.given",
        "overrides_from_request": "preview.detection.overrides.preview_file",
        "overrides_of": "preview.detection.overrides.preview_file",
        "placeholder_for": "preview.detection.settings",
        "read_endpoints": "preview.detection.overrides.choose",
        "read_preview_file": "preview.detection.overrides.preview_file",
        "shown_value": "preview.detection.plan",
    },
)
