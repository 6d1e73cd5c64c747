from __future__ import annotations

import time

import pytest

from preview.environments.python.explain import explain
from preview.environments.requirements.requirements import RequirementSet, parse_requirement

REQUIRED = RequirementSet(
    (
        parse_requirement("six==99", "requirements.txt line 1"),
        parse_requirement("numpy==1.16.0", "requirements.txt line 2"),
    )
)

DENIED = [
    "error: Building source distributions is disabled, but attempted to build `numpy`",
    "error: Failed to build `numpy @ file:///x`\n cause: Building source distributions for `numpy` is disabled",
    "hint: Wheels are required for `numpy` because building from source is disabled for all packages (i.e., with `x`)",
]
CASES = [
    ("because there is no version of six==99 and you require six==99,", "no_version", "six==99"),
    ("Because only six<=1.17.0 is available and you require six>=99,", "no_version", "six==99"),
    ("Because Only six<=1.17.0 is available and you require six>=99,", "no_version", "six==99"),
    ("Because there are no versions of six that satisfy", "no_version", "six==99"),
    ("Because nosuch was not found in the package registry and you require nosuch==1,", "not_found", "nosuch"),
    ("error: Failed to build `numpy==1.16.0`\n [stderr]\n x\n KaboomError: no\n", "build", "numpy==1.16.0"),
    ("error: Failed to download and build `numpy==1.16.0`\n cause: Failed to parse: x", "build", "numpy==1.16.0"),
    ("error: Failed to read metadata from `six==99`\n cause: x", "build", "six==99"),
    ("error: The build backend returned an error", "build", None),
    ("cause: Hash mismatch for `six==99`", "hash", "six==99"),
    ("Because six==99 depends on Python>=3.13 and", "python", "six==99"),
    ("Because numpy==1.16.0 has no wheels with a matching Python ABI tag", "no_version", "numpy==1.16.0"),
    ("Because numpy==1.16.0 has no usable wheels and you require", "no_version", "numpy==1.16.0"),
    ("error: Distribution not found at: file:///nowhere.whl", "not_found", "file:///nowhere.whl"),
    ("error: Failed to download `six==99`\n cause: tcp connect error", "network", "six==99"),
    ("error: Request failed after 3 retries", "network", None),
    ("cause: No space left on device (os error 28)", "disk", None),
    (
        "error: No solution found when resolving dependencies\n"  # noqa: ISC004  one text
        "cause: Because a depends on b>1 and you require b<1, we can conclude that it is unsatisfiable.",
        "conflict",
        None,
    ),
    ("error: something new.", "other", None),
    ("", "other", None),
]


@pytest.mark.parametrize(("text", "reason", "requirement"), CASES)
def test_a_failure_is_named_with_its_requirement(text: str, reason: str, requirement: str | None) -> None:
    found = explain(text.splitlines(), REQUIRED, offline=False)
    assert (found.reason, found.requirement) == (reason, requirement)
    assert "\n" not in found.message


def test_a_build_failure_shows_the_exception() -> None:
    found = explain(CASES[5][0].splitlines(), REQUIRED, offline=False)
    assert "KaboomError: no" in found.message
    assert "requirements.txt line 2" in found.message


def test_a_package_that_only_the_network_has_is_named_when_offline() -> None:
    text = "cause: Because six was not found in the cache and you require six==99,\nhint: the network was disabled"
    found = explain(text.splitlines(), REQUIRED, offline=True)
    assert (found.reason, found.requirement, found.origin) == ("offline", "six==99", "requirements.txt line 1")


@pytest.mark.timed
def test_a_word_without_end_is_not_searched_for_names() -> None:
    started = time.thread_time()
    assert explain([f"error: {'x' * 100_000} is odd"], REQUIRED, offline=False).reason == "other"
    assert time.thread_time() - started < 1


@pytest.mark.parametrize("said", DENIED)
def test_a_package_that_may_not_be_built_is_told_with_the_setting(said: str) -> None:
    found = explain(said.splitlines(), REQUIRED, offline=False, runs_code=False)
    assert (found.reason, found.requirement, found.package) == ("denied", "numpy==1.16.0", "numpy")
    assert "PREVIEW_BUILD_CODE=deny" in found.message


def test_where_builds_are_allowed_the_setting_is_not_blamed() -> None:
    found = explain(DENIED[2].splitlines(), REQUIRED, offline=False)
    assert (found.reason, "PREVIEW_BUILD_CODE" in found.message) == ("other", False)
