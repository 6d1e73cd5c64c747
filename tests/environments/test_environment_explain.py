from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


_WORDS = st.sampled_from(
    ["/srv/cache/.building-1/x", "gcc -shared -fPIC", "{'a': 1}", "[1]", "ValueError: no", "error:",
     "x.c:1:2: error: y",
     "fatal error: Python.h: No such file or directory",
     "subprocess.CalledProcessError: Command '['gcc', '-x']' returned",
     "error: command '/usr/bin/gcc' failed with exit code 1", "[stderr]", "Failed to build `odd==1`", "\n", "hint: so"]
)  # fmt: skip


@given(st.lists(_WORDS | st.text(max_size=20), max_size=20))
def test_no_sentence_has_a_path_of_the_service_a_command_or_data(words: list[str]) -> None:
    lines = " ".join(["Failed to build `odd==1`", "[stderr]", *words]).splitlines()
    said = explain(lines, RequirementSet(), offline=False).message
    assert "/srv/" not in said
    assert "-fPIC" not in said
    assert "Command" not in said
    assert "{'a'" not in said
    assert len(said) <= 300


_INSTALL = ", or ask the operator to install it on the service's machine"


@pytest.mark.parametrize(
    ("printed", "said", "remedy"),
    [
        ("Modules/common.h:15:10: fatal error: lber.h: No such file or directory\nerror: Command '['gcc', '-fPIC',",
         "the header lber.h is missing", _INSTALL),
        ("Error: pg_config executable not found.", "the program pg_config is missing", _INSTALL),
        ("Exception: Can not find valid pkg-config name.\nSpecify MYSQLCLIENT_CFLAGS env vars manually",
         "the client library of MySQL or MariaDB is missing", _INSTALL),
        ("error: can't find Rust compiler\n\nTo update pip, run:\n\n    pip install --upgrade pip",
         "a Rust compiler is missing", _INSTALL),
        ("error: command 'gcc' failed: No such file or directory", "the program gcc is missing", _INSTALL),
        ("/usr/bin/ld: cannot find -lpq", "the library pq is missing", _INSTALL),
        ("AttributeError: module 'setuptools.dist' has no attribute '_get_unpatched'. Did you mean: 'get_unpatched'?",
         "its build is written for an older setuptools", ""),
        ("NameError: name 'CCompiler' is not defined. Did you mean: 'ccompiler'?",
         "NameError: name 'CCompiler' is not defined. Did you mean: 'ccompiler'?", ""),
        ("odd.c:3:5: error: unknown type name 'x'\nerror: command '/usr/bin/gcc' failed with exit code 1",
         "its C or C++ code does not compile here", ""),
        ("subprocess.CalledProcessError: Command '['gcc', '-shared']' returned non-zero exit status 1.",
         "CalledProcessError", ""),
        ("urllib.error.URLError: <urlopen error [Errno 111] Connection refused>", "URLError", ""),
    ],
)  # fmt: skip
def test_a_build_s_failure_is_told_in_words(printed: str, said: str, remedy: str) -> None:
    lines = ["Failed to build `odd==1`", "[stderr]", *printed.splitlines(), "hint: no"]
    found = explain(lines, RequirementSet(), offline=False)
    advice = "choose a version or a package that has a wheel for this Python"
    assert (found.reason, found.message) == ("build", f"odd could not be built ({said}); {advice}{remedy}")


PAIR = """error: No solution found when resolving dependencies
  cause: Because box==1.26 depends on pyyaml<5 and box==1.25.5 depends on pyyaml<6,
         we can conclude that box depends on pyyaml<6. (1)
         Because pyyaml>=3.11,<=5.1 has no usable wheels and only the following versions of pyyaml are available:
             pyyaml<=5.1
         And because crate>=4.0.18 depends on pyyaml>=3.11, we can conclude that crate>=4.0.18 depends on pyyaml>=6.
         And because you require box>=1.25.5 and crate>=4.0.18,
         we can conclude that your requirements are unsatisfiable."""


def test_two_requirements_that_exclude_each_other_are_named_and_not_a_step_of_the_proof() -> None:
    lines = [
        parse_requirement(one, f"reqs.txt line {at}") for at, one in ((3, "box"), (9, "crate>=4.0.18"), (12, "pyyaml"))
    ]
    found = explain(PAIR.splitlines(), RequirementSet(tuple(lines)), offline=False)
    assert found.reason == "conflict"
    assert found.message == (
        "box>=1.25.5 (reqs.txt line 3) and crate>=4.0.18 (reqs.txt line 9) exclude each other: both need pyyaml, and "
        "no release of it suits both here; loosen one of them, or leave it out"
    )
    alone = PAIR.replace("depends on pyyaml", "depends on x")
    assert "exclude each other" in explain(alone.splitlines(), RequirementSet(), offline=False).message


def test_a_contradiction_names_both_sides_and_where_they_stand() -> None:
    wanted = RequirementSet(
        (parse_requirement("flask==2.0.0", "a.txt line 1"), parse_requirement("werkzeug==0.16", "a.txt line 2"))
    )
    said = [
        "error: No solution found when resolving dependencies",
        "  cause: Because flask==2.0.0 depends on werkzeug>=2.0 and you require flask==2.0.0, we can conclude that you",
        "         require werkzeug>=2.0.",
        "         And because you require werkzeug==0.16, we can conclude that your requirements are unsatisfiable.",
    ]
    assert explain(said, wanted, offline=False).message == (
        "flask==2.0.0 (a.txt line 1) needs werkzeug>=2.0, but the project requires werkzeug==0.16 (a.txt line 2); "
        "loosen one of them"
    )


def test_a_refused_host_is_told_in_the_sentence_of_the_build() -> None:
    lines = ["Failed to build `odd==1`", "[stderr]", "error: can't find Rust compiler"]
    found = explain(lines, RequirementSet(), offline=False, refused=["a.example is refused"])
    assert found.message == (
        "odd could not be built (a Rust compiler is missing), and a.example is refused; the "
        "service's operator can add it to PREVIEW_BUILD_HOSTS"
    )


def test_a_read_only_file_system_is_no_version() -> None:
    lines = [
        "error: Failed to initialize cache at `/root/.cache/uv`",
        "  cause: failed to create directory `/root/.cache/uv`: Read-only file system (os error 30)",
    ]
    why = explain(lines, RequirementSet(), offline=True)
    assert why.reason == "other", why
