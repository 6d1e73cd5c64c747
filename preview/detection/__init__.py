"""Detection of a project's framework and start plan, from its files alone."""

from preview.detection.detect import detect
from preview.detection.overrides.choose import read_endpoints
from preview.detection.overrides.given import Overrides, merge
from preview.detection.overrides.preview_file import (
    PREVIEW_FILE,
    overrides_from_request,
    overrides_of,
    read_preview_file,
)
from preview.detection.own_starts import OWN_START
from preview.detection.plan import (
    GIVEN,
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
    is_generated,
    shown_value,
)
from preview.detection.python_2 import is_python_2
from preview.detection.python_versions import OLDER_PYTHON
from preview.detection.settings import Kind, placeholder_for
from preview.detection.settings import is_secret as is_secret_name
from preview.detection.steps import COLLECT_STATIC, INIT, MAKE_MIGRATIONS, SEED

__all__ = [
    "COLLECT_STATIC",
    "GIVEN",
    "INIT",
    "MAIN_PROGRAM",
    "MAKE_MIGRATIONS",
    "OLDER_PYTHON",
    "OWN_START",
    "PREVIEW_FILE",
    "SEED",
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
