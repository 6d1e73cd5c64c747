from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.environments.python.explain import explain
from preview.environments.python.relax import Loosening
from preview.environments.requirements.arguments import as_for, write_arguments
from preview.environments.requirements.companions import with_companions
from preview.environments.requirements.compatibility import compatibility_rows
from preview.environments.requirements.floors import with_floors
from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet, parse_requirement

_PINNED = [f"{row['package']}==1.0" for row in compatibility_rows("companions")]
_PINNED = [*dict.fromkeys(_PINNED), "pytz", "werkzeug"]


def required(*lines: str, locked: tuple[str, ...] = ()) -> RequirementSet:
    items = tuple(parse_requirement(line, f"requirements.txt line {n}") for n, line in enumerate(lines, start=1))
    return RequirementSet(items, tuple(parse_requirement(line, "uv.lock") for line in locked))


def steps(wanted: RequirementSet, text: str, count: int) -> list[str]:
    """What is required after each of the next steps, one line each; the failure stays the same."""
    loosening = Loosening()
    found = []
    for _ in range(count):
        why = explain(text.splitlines(), wanted, offline=False)
        step = loosening.after(wanted, why, text.splitlines())
        if step is None:
            break
        wanted = step.required
        found.append(" ".join(item.text for item in (*wanted.requirements, *wanted.constraints)))
    return found


BUILD = "error: Failed to build `{}==1`"


def test_a_pin_that_cannot_be_built_is_loosened_step_by_step_and_left_out_in_the_end() -> None:
    found = steps(required("numpy==1.19.0", "six==1.16.0"), BUILD.format("numpy"), 9)
    assert found[:4] == [
        "numpy<2,>=1.19.0 six==1.16.0",
        "numpy>=1.19.0 six==1.16.0",
        "numpy six==1.16.0",
        "six==1.16.0",
    ]


def test_the_same_package_under_the_name_with_wheels_comes_first() -> None:
    assert steps(required("psycopg2==2.9.1"), BUILD.format("psycopg2"), 1) == ["psycopg2-binary>=2.9.1"]


def test_a_package_without_any_wheel_comes_under_its_other_name() -> None:
    said = (
        "error: No solution found when resolving dependencies\n  cause: Because all versions of psycopg2 have no "
        "usable wheels and you require psycopg2, we can conclude that your requirements are unsatisfiable."
    )
    assert steps(required("psycopg2", "six"), said, 1) == ["psycopg2-binary six"]


def test_without_time_for_steps_a_package_that_no_version_can_build_is_replaced_or_left_out() -> None:
    loosening = Loosening(frozenset({"pycryptodome", "pyaudio"}))
    wanted = required("pycrypto==2.6.1", "meld3==1.0", "pyaudio==0.2")
    seen = []
    for failed in ("pycrypto", "pycrypto", "meld3", "pyaudio"):
        why = explain([BUILD.format(failed)], wanted, offline=False)
        step = loosening.last(wanted, why)
        seen.append(None if step is None else " ".join(item.text for item in step.required.requirements))
        wanted = wanted if step is None else step.required
    assert seen == [
        "pycrypto>=2.6.1 meld3>=1.0 pyaudio>=0.2",
        "pycryptodome meld3>=1.0 pyaudio>=0.2",
        "pycryptodome pyaudio>=0.2",
        # The project imports it.
        None,
    ]


def test_all_at_once_ranges_that_steps_have_made_of_pins_are_lower_bounds_too() -> None:
    loosening = Loosening()
    wanted = required("pillow==6.1.0", "six==1.12.0", "rich<13,>=12")
    first = loosening.after(wanted, explain([BUILD.format("pillow")], wanted, offline=False), [BUILD.format("pillow")])
    assert first is not None
    assert first.required.requirements[0].text == "pillow<7,>=6.1.0"
    step = loosening.all_at_once(first.required)
    assert step is not None
    assert [item.text for item in step.required.requirements] == ["pillow>=6.1.0", "six>=1.12.0", "rich<13,>=12"]


@pytest.mark.parametrize(
    "said",
    [
        (
            "error: Failed to build `psycopg-c==3.1.12`\nhint: `psycopg-c` (v3.1.12) was included because `psycopg[c]` "
            "(v3.1.12) depends on `psycopg-c`"
        ),
        (
            "error: No solution found when resolving dependencies\n  cause: Because psycopg-c==3.1.12 has no usable "
            "wheels and psycopg[c]==3.1.12 depends on psycopg-c==3.1.12, we can conclude that it cannot be used."
        ),
    ],
)
def test_a_driver_whose_part_in_c_has_no_wheel_comes_built(said: str) -> None:
    assert steps(required("psycopg[c]==3.1.12", "six"), said, 1) == ["psycopg[binary]==3.1.12 six"]


@pytest.mark.parametrize(
    "said",
    [
        "error: Failed to build `pycairo==1.29.2`\nhint: `pycairo` was included because `pygobject` (v3.58.1)",
        "error: Because pygobject was not found in the package registry and you require pygobject==3.48.2, no",
    ],
)
def test_parts_of_ubuntu_that_nothing_imports_are_left_out(said: str) -> None:
    wanted = required("flask", "pygobject==3.48.2", "python-apt==2.7.7+ubuntu4", "ufw")
    why = explain(said.splitlines(), wanted, offline=False)
    step = Loosening(frozenset({"flask"})).after(wanted, why, said.splitlines())
    assert step is not None
    assert [item.text for item in step.required.requirements] == ["flask"]
    assert step.sentence.endswith(
        "and nothing imports it: it is left out, and so are other parts of Ubuntu (python-apt, ufw)"
    )


def test_a_manifest_s_second_line_of_a_package_does_not_restore_what_was_loosened() -> None:
    wanted = required("numpy==1.19.0", "numpy~=1.19.0", "numpy==1.0; python_version < '3'", "six")
    rest = 'numpy==1.0; python_version < "3" six'
    assert steps(wanted, BUILD.format("numpy"), 2) == [f"numpy<2,>=1.19.0 {rest}", f"numpy>=1.19.0 {rest}"]
    assert steps(wanted, BUILD.format("numpy"), 9)[-1] == "six"


def test_a_second_line_with_a_place_of_its_own_keeps_the_package() -> None:
    assert steps(required("pkg==1", "pkg @ https://host.example/pkg.zip"), BUILD.format("pkg"), 9) == []


@pytest.mark.parametrize("line", ["pydantic~=1.8.2", "pydantic==1.8.*", "pydantic>=1.8,<1.9", "pydantic==1.8.2"])
def test_a_narrow_range_below_a_floor_is_raised_like_a_pin(line: str) -> None:
    found, sentences = with_floors(required(line), "3.11.7")
    assert [item.text for item in found.requirements] == ["pydantic<2,>=1.10.13"]
    assert len(sentences) == 1


@pytest.mark.parametrize("line", ["pydantic~=1.8", "pydantic<2", "pydantic>=1.8", "pydantic"])
def test_a_range_that_reaches_above_a_floor_stays(line: str) -> None:
    wanted = required(line)
    assert with_floors(wanted, "3.11.7")[0] == wanted


@pytest.mark.parametrize(
    ("imported", "left"),
    [(frozenset(), ["six"]), (frozenset({"meinheld"}), ["meinheld<2,>=1.0.2 six"]), (None, ["meinheld<2,>=1.0.2 six"])],
)
def test_a_worker_that_cannot_be_built_is_left_out_at_once_if_nothing_imports_it(
    imported: frozenset[str] | None, left: list[str]
) -> None:
    wanted, text = required("meinheld==1.0.2", "six"), BUILD.format("meinheld")
    step = Loosening(imported).after(wanted, explain([text], wanted, offline=False), [text])
    assert step is not None
    assert [" ".join(item.text for item in step.required.requirements)] == left


def test_a_part_of_python_itself_is_left_out_at_once() -> None:
    wanted, text = required("backports.zoneinfo==0.2.1", "six"), BUILD.format("backports-zoneinfo")
    step = Loosening(frozenset()).after(wanted, explain([text], wanted, offline=False), [text])
    assert step is not None
    assert [item.text for item in step.required.requirements] == ["six"]


def test_mysqlclient_becomes_pymysql_where_it_cannot_be_built() -> None:
    assert steps(required("mysqlclient==2.1.0"), BUILD.format("mysqlclient"), 1) == ["pymysql"]


def test_what_brings_a_package_that_cannot_be_built_is_replaced() -> None:
    hint = "hint: `mysqlclient` (v2.3.2) was included because `mysql` (v0.0.3) depends on `mysqlclient`"
    text = f"{BUILD.format('mysqlclient')}\n{hint}"
    assert steps(required("mysql==0.0.3", "mysqlclient==2.2.6"), text, 2) == ["mysql==0.0.3 pymysql", "pymysql pymysql"]


def test_extras_and_markers_stay() -> None:
    found = steps(required("uvicorn[standard]==0.1; python_version > '3'"), BUILD.format("uvicorn"), 1)
    assert found == ['uvicorn[standard]<0.2,>=0.1; python_version > "3"']


def test_a_pin_below_1_0_stays_near_its_minor_release_before_it_becomes_the_newest() -> None:
    found = steps(required("jsonapi==0.4.1"), BUILD.format("jsonapi"), 4)
    assert found == ["jsonapi<0.5,>=0.4.1", "jsonapi<0.7,>=0.4.1", "jsonapi<1,>=0.4.1", "jsonapi>=0.4.1"]


def test_a_framework_is_never_left_out() -> None:
    assert steps(required("flask==0.1"), BUILD.format("flask"), 9)[-1] == "flask"


def test_what_a_lock_file_chose_goes_first() -> None:
    text = "error: No solution found\ncause: Because a==1 depends on six>=2 and you require six==1,"
    assert steps(required("a==1", "six>=1", locked=("six==1",)), text, 1) == ["a==1 six>=1"]


def test_what_others_depend_on_is_loosened_before_them() -> None:
    text = "error: No solution found\ncause: Because fastapi==0.68.0 depends on starlette==0.14.2 and you require "
    text += (
        "fastapi==0.68.0, we can conclude that you require starlette==0.14.2. And because you require starlette==0.20,"
    )
    assert steps(required("fastapi==0.68.0", "starlette==0.20"), text, 1) == ["fastapi==0.68.0 starlette<0.21,>=0.20"]


def test_a_package_for_a_newer_python_may_be_older() -> None:
    text = "error: No solution found\ncause: Because django==6.1 depends on Python>=3.12, we can conclude"
    assert steps(required("django==6.1"), text, 1) == ["django<=6.1"]


def test_a_package_that_does_not_exist_is_left_out() -> None:
    text = "cause: Because nosuch was not found in the package registry and you require nosuch==1,"
    assert steps(required("nosuch==1", "six"), text, 1) == ["six"]


def test_another_driver_replaces_the_one_that_an_extension_brings_and_that_cannot_be_built(tmp_path: Path) -> None:
    lines = [
        "error: Failed to build `mysqlclient==2.2.7`",
        "hint: `mysqlclient` (v2.2.7) was included because `flask-mysqldb` (v2.0.0) depends on `mysqlclient`",
    ]
    loosening, wanted = Loosening(), required("flask-mysqldb==2.0.0")
    step = loosening.after(wanted, explain(lines, wanted, offline=False), lines)
    assert step is not None
    assert [item.text for item in step.required.requirements] == ["flask-mysqldb==2.0.0", "pymysql"]
    assert step.sentence == "mysqlclient cannot be built here: pymysql is taken instead"
    arguments = write_arguments(tmp_path, step.required, None, runs_code=True)
    assert arguments is not None
    assert "mysqlclient ; python_version < '3'" in Path(arguments[arguments.index("--override") + 1]).read_text()


def test_a_package_that_another_brings_is_taken_from_a_wheel() -> None:
    loosening, wanted = Loosening(), required("six")
    step = loosening.after(wanted, explain([BUILD.format("deep")], wanted, offline=False), [])
    assert step is not None
    assert step.required.options == ("--only-binary", "deep")
    assert loosening.after(wanted, explain([BUILD.format("deep")], wanted, offline=False), []) is None


@pytest.mark.parametrize(
    "text", ["error: Failed to build `x @ git+h`", "error: Failed to fetch: `x @ h`\nconnection reset"]
)
def test_a_repository_that_is_gone_is_not_replaced_by_a_package_of_its_name(text: str) -> None:
    assert steps(required("x[a] @ git+https://host.example/x.git", "six==1"), text, 9) == []


def a_path(text: str, name: str | None) -> ProjectRequirement:
    return ProjectRequirement(text, name, frozenset(), pinned=True, origin="requirements.txt line 1", identity=text)


LOCATED = [
    a_path("/project/pkg", None),
    a_path("/project/pkg[extra]", None),
    a_path("/project/pkg-1.0-py3-none-any.whl", "pkg"),
    a_path("pkg @ file:///project/pkg", "pkg"),
    parse_requirement("pkg @ https://host.example/pkg.zip", "requirements.txt line 1"),
    parse_requirement("pkg[extra] @ git+https://host.example/pkg.git@v1#subdirectory=x", "requirements.txt line 1"),
]
BROKEN = [
    "error: Failed to build `pkg @ file:///project/pkg`",
    "error: Failed to build `pkg`",
    "error: Failed to build\ncause: The build backend returned an error",
    "error: Failed to fetch: `https://host.example/pkg.zip`\nconnection reset",
    "error: Request failed after 3 retries",
    "No solution found when resolving dependencies: Because pkg was not found in the package registry",
    "No solution found when resolving dependencies: Because you require pkg and there is no version of pkg==1",
    "No solution found when resolving dependencies: Because pkg depends on six==2 and you require six==1",
    "error: something new",
    "hint: Wheels are required for `pkg` because building from source is disabled for all packages",
]


@pytest.mark.parametrize("text", BROKEN)
@pytest.mark.parametrize("item", LOCATED, ids=lambda item: item.text)
@pytest.mark.parametrize("runs_code", [True, False])
def test_a_requirement_that_names_where_it_comes_from_is_never_looked_up_by_name(
    item: ProjectRequirement, text: str, runs_code: bool
) -> None:
    locked = replace(item, text=item.text) if item.name else None
    wanted = RequirementSet((item, parse_requirement("six==1", "x")), () if locked is None else (locked,))
    loosening = Loosening()
    for _ in range(12):
        why = explain(text.splitlines(), wanted, offline=False, runs_code=runs_code)
        step = loosening.after(wanted, why, text.splitlines()) or loosening.away_from(wanted, "pkg", "imp")
        if step is None:
            break
        wanted = step.required
        assert item in wanted.requirements, "neither replaced nor left out"
        assert locked is None or locked in wanted.constraints
        assert "pkg" not in {other.name for other in wanted.requirements if other is not item}
    else:
        pytest.fail("it does not come to an end")


def test_in_the_end_all_pins_are_lower_bounds() -> None:
    text = "error: something new"
    assert steps(required("a==1", "b==2", locked=("c==3",)), text, 5) == ["a>=1 b>=2"]


@pytest.mark.parametrize("text", ["error: Request failed after 3 retries", "No space left on device"])
def test_what_no_version_could_mend_is_not_tried(text: str) -> None:
    assert steps(required("a==1"), text, 5) == []


FLASK_1 = {
    "werkzeug<2.1", "jinja2<3.1", "markupsafe<2.1", "itsdangerous<2.1", "click<8.1", "setuptools<81", "marshmallow<4"
}  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "limits"),
    [
        (["flask==1.1.2"], FLASK_1),
        (["flask==1.1.2", "jinja2==3.1", "click>=8.1"], FLASK_1 - {"jinja2<3.1", "click<8.1"}),
        (["flask~=1.1"], FLASK_1),
        (["flask==2.0.3"], {"setuptools<81", "werkzeug<2.2", "jinja2<3.2", "marshmallow<4"}),
        (["flask==2.1.0"], {"werkzeug<2.2", "jinja2<3.2", "marshmallow<4"}),
        (["flask>=1"], set()),
        (["flask==3.0"], {"marshmallow<4"}),
        (["flask==3.1"], set()),
        (["passlib"], {"bcrypt<4.1"}),
        (["flask-sqlalchemy<3"], {"sqlalchemy<2", "werkzeug<3", "flask<2.3", "marshmallow<4"}),
        (
            ["flask-uploads", "flask-sqlalchemy", "flask"],
            FLASK_1 | {"werkzeug<1", "flask<2", "flask-sqlalchemy<3", "sqlalchemy<2", "werkzeug<3", "flask<2.3"},
        ),
        (
            ["flask==1.1.2", "flask-sqlalchemy", "sqlalchemy"],
            FLASK_1 | {"flask-sqlalchemy<3", "sqlalchemy<2", "werkzeug<3"},
        ),
        (["flask-sqlalchemy==2.2", "flask"], FLASK_1 | {"sqlalchemy<2", "flask<2", "werkzeug<2"}),
        (["flask==1.1; python_version < '3'"], set()),
        (["weasyprint==58.0"], {"pydyf<0.11"}),
    ],
)
def test_older_packages_keep_the_company_of_their_time(lines: list[str], limits: set[str]) -> None:
    found = with_companions(required(*lines))
    assert {item.text for item in found.constraints} == limits
    assert bool(found.company) is bool(limits)


def test_the_version_of_a_lock_file_decides_about_companions() -> None:
    found = with_companions(required("flask", locked=("flask==1.1.2",)))
    assert "werkzeug<2.1" in {item.text for item in found.constraints}


def test_versions_that_do_not_run_on_this_python_are_raised() -> None:
    found, sentences = with_floors(required("pydantic[email]==1.8.2", "six==1", locked=("greenlet==1.1",)), "3.11.7")
    assert [item.text for item in found.requirements] == ["pydantic[email]<2,>=1.10.13", "six==1"]
    assert [item.text for item in found.constraints] == ["greenlet>=2"]
    assert len(sentences) == 2
    assert with_floors(required("pydantic==1.8.2"), "3.9.1")[1] == []


def test_lines_for_the_python_that_a_project_wants_apply_on_another_too() -> None:
    lines = ("a==1; python_version >= '3.90' and sys_platform != 'win32'", "b==1; sys_platform == 'win32'", "c==1")
    found = as_for(required("d==1; python_version >= '3.15'", *lines), ">=3.15,<4")
    assert [item.text for item in found.requirements if item.applies] == ["d==1", "c==1"]
    assert as_for(required("c==1"), "new") == required("c==1")


def test_what_may_not_be_built_gives_way_to_another_version_and_is_never_left_out() -> None:
    text = ["hint: Wheels are required for `six` because building from source is disabled for all packages"]
    wanted, loosening, found = required("six==1.0", "odd==2"), Loosening(), []
    while step := loosening.after(wanted, explain(text, wanted, offline=False, runs_code=False), text):
        wanted = step.required
        found.append(" ".join(item.text for item in wanted.requirements))
    assert found == ["six<2,>=1.0 odd==2", "six>=1.0 odd==2", "six odd==2"]


def test_what_may_not_be_built_gives_way_to_no_package_from_elsewhere() -> None:
    text = ["cause: Building source distributions for `six` is disabled"]
    wanted = required("six @ git+https://example.org/six")
    assert Loosening().after(wanted, explain(text, wanted, offline=False, runs_code=False), text) is None


@given(st.lists(st.sampled_from(_PINNED), unique=True, max_size=8))
def test_no_companion_is_named_twice_for_one_package(lines: list[str]) -> None:
    found = with_companions(required(*lines))
    told = [(item.name, limit.text) for item, limit in found.company]
    assert len(told) == len(set(told))


def test_psycopg2_keeps_sqlalchemy_below_the_version_whose_addresses_mean_psycopg() -> None:
    found = with_companions(required("psycopg2-binary", "sqlalchemy"))
    assert "sqlalchemy<2.1" in {item.text for item in found.constraints}
    chosen = with_companions(required("psycopg2-binary", "sqlalchemy>=2.1"))
    assert not chosen.constraints


@pytest.mark.parametrize(
    ("lines", "limited"),
    [
        (("flask==2.3.3", "marshmallow"), True),
        (("flask", "marshmallow"), False),
        (("flask==3.0", "marshmallow>=4"), False),
    ],
)
def test_marshmallow_without_a_version_is_of_its_neighbours_time(lines: tuple[str, ...], limited: bool) -> None:
    found = with_companions(required(*lines))
    assert ("marshmallow<4" in {item.text for item in found.constraints}) is limited


def test_mysqlclient_that_is_required_and_brought_along_becomes_pymysql_in_both_places() -> None:
    lines = [
        "error: Failed to build `mysqlclient==2.2.7`",
        "hint: `mysqlclient` (v2.2.7) was included because `flask-mysqldb` (v0.2.0) depends on `mysqlclient`",
    ]
    loosening, now = Loosening(), required("flask-mysqldb==0.2.0", "mysqlclient==2.1.0", "pymysql==1.0.2")
    for _ in range(2):
        step = loosening.after(now, explain(lines, now, offline=False), lines)
        assert step is not None
        now = step.required
    assert now.replaced == {"mysqlclient"}
    assert "flask-mysqldb==0.2.0" in [one.text for one in now.requirements]


def test_psycopg2_that_a_package_brings_along_comes_with_its_wheel_and_the_package_stays() -> None:
    lines = [
        "error: No solution found when resolving dependencies",
        "cause: Because all versions of psycopg2 have no usable wheels and websauna>=1.0a13 depends on psycopg2, we",
        "can conclude that websauna>=1.0a13 cannot be used.",
        "And because you require websauna>=1.0a13, we can conclude that your requirements are unsatisfiable.",
    ]
    now = required("websauna~=1.0a13")
    step = Loosening().after(now, explain(lines, now, offline=False), lines)
    assert step is not None
    assert step.required.replaced == {"psycopg2"}
    assert [one.text for one in step.required.requirements] == ["websauna~=1.0a13", "psycopg2-binary"]
