"""Detection of a project's framework and start plan, from its files alone."""

from preview.detection.detect import detect
from preview.detection.overrides.choose import read_endpoints
from preview.detection.overrides.given import Overrides, merge
from preview.detection.overrides.preview_file import PREVIEW_FILE, overrides_from_request, read_preview_file
from preview.detection.plan import (
    MAIN_PROGRAM,
    Origin,
    Server,
    ServiceKind,
    ServiceNeed,
    StartPlan,
    Step,
    Toolchain,
    Variable,
    describe_plan,
    shown_value,
)
from preview.detection.steps import INIT, MAKE_MIGRATIONS, SEED

__all__ = [
    "INIT",
    "MAIN_PROGRAM",
    "MAKE_MIGRATIONS",
    "PREVIEW_FILE",
    "SEED",
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
    "merge",
    "overrides_from_request",
    "read_endpoints",
    "read_preview_file",
    "shown_value",
]
