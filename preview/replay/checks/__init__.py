"""Checks: requests with expected answers, in a file beside the code."""

from preview.replay.checks.expectations import Expectation
from preview.replay.checks.file import CHECKS_FILE, Check, CheckFile, read_checks, write_checks
from preview.replay.checks.making import check_of
from preview.replay.checks.running import CheckResult, ChecksRun, run_checks

__all__ = [
    "CHECKS_FILE",
    "Check",
    "CheckFile",
    "CheckResult",
    "ChecksRun",
    "Expectation",
    "check_of",
    "read_checks",
    "run_checks",
    "write_checks",
]
