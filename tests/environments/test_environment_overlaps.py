"""Two packages that bring one module: pip's last one stays, whichever uv wrote last."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
import trio
from environment_kit import Said, use_wheels, write_wheel

from preview.environments import EnvironmentCache, EnvironmentRequest
from preview.environments.folders.overlaps import overwritten
from preview.settings import load_settings

LIMIT_S = 60
PYTHON = "3.12.1"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return use_wheels(tmp_path, monkeypatch)


async def build(tmp_path: Path, requirements: str) -> dict[str, str]:
    """The text of each module ``shared*`` of a built environment."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "requirements.txt").write_text(requirements)
    cache = EnvironmentCache(load_settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data"))
    with trio.fail_after(LIMIT_S):
        request = EnvironmentRequest(project, server=None, entry=None)
        async with cache.open_environment(request, Said()) as environment:
            found = environment.directory.glob("lib/*/site-packages/shared*/*.py")
            return {f"{path.parent.name}/{path.name}": path.read_text() for path in found}


def shared(index: Path, name: str, requires: tuple[str, ...] = (), module: str = "shared") -> None:
    more = {f"{module}/__init__.py": f"BY = {name!r}\n", f"{module}/{name}.py": f"ONLY = {name!r}\n"}
    write_wheel(index, name, requires=requires, more=more)


async def test_of_two_alike_the_first_of_the_alphabet_stays(index: Path, tmp_path: Path) -> None:
    names = ["bootstrap_one", "one_bootstrap", "zebra"]
    for name in names:
        shared(index, name)
    found = await build(tmp_path, "\n".join(random.sample(names, 3)))
    assert found["shared/__init__.py"] == "BY = 'bootstrap_one'\n"
    assert {"shared/zebra.py", "shared/one_bootstrap.py"} <= found.keys()


async def test_the_one_that_requires_more_stays(index: Path, tmp_path: Path) -> None:
    write_wheel(index, "low")
    write_wheel(index, "middle", requires=("low",))
    shared(index, "beta", requires=("low",))
    shared(index, "gamma", requires=("middle",))
    shared(index, "alpha")
    found = await build(tmp_path, "alpha\nbeta\ngamma\n")
    assert found["shared/__init__.py"] == "BY = 'gamma'\n"


def unpacked(root: Path, name: str, requires: str = "", record: str = "shared/__init__.py,sha256=x,1\n") -> Path:
    site = root / "lib" / "python3.12" / "site-packages"
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "shared").mkdir(exist_ok=True)
    (site / "shared" / "__init__.py").write_text("ELSE = 1\n")
    (info / "METADATA").write_text(f"Name: {name}\n{requires}\n\nRequires-Dist: never\n")
    (info / "RECORD").write_text(record)
    return site


def test_one_that_is_written_again_is_written_over_by_those_that_pip_installs_later(tmp_path: Path) -> None:
    unpacked(tmp_path, "late", "Requires-Dist: first", "shared/a.py,sha256=a,1\nshared/b.py,sha256=1,1\n")
    unpacked(tmp_path, "first", "", "shared/b.py,sha256=2,1\nshared/c.py,sha256=3,1\n")
    site = unpacked(tmp_path, "zero", "", "shared/c.py,sha256=4,1\n")
    (site / "shared" / "c.py").write_text("ELSE = 2\n")
    # pip: zero, first, late. "first" lost c.py; installed again, it writes b.py over that of "late".
    assert overwritten(tmp_path, PYTHON) == ["first==1.0", "late==1.0"]


def test_requirements_of_another_python_or_of_an_extra_do_not_count(tmp_path: Path) -> None:
    unpacked(tmp_path, "low", record="")
    unpacked(tmp_path, "beta", 'Requires-Dist: low ; python_version < "3"\nRequires-Dist: low ; extra == "more"')
    unpacked(tmp_path, "alpha", "Requires-Dist: nowhere", "shared/__init__.py,sha256=y,1\n")
    assert overwritten(tmp_path, PYTHON) == ["alpha==1.0"]
    unpacked(tmp_path, "user", "Requires-Dist: beta[more]", "")
    unpacked(tmp_path, "gamma", "Requires-Dist: user", "shared/__init__.py,sha256=z,1\n")
    assert overwritten(tmp_path, PYTHON) == ["gamma==1.0"]


@pytest.mark.parametrize(
    ("record", "module"),
    [
        ("shared/__init__.py,sha256=x,1\n", "ELSE = 1\n"),
        ("tests/__init__.py,sha256=y,1\n", "ELSE = 1\n"),
        ("shared/__init__.py,sha256=y,1\n", "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"),
        ("shared/__init__.py,sha256=y,1\n", ""),
    ],
)
def test_the_same_module_and_a_namespace_are_left_alone(tmp_path: Path, record: str, module: str) -> None:
    unpacked(tmp_path, "beta")
    site = unpacked(tmp_path, "alpha", record=record)
    (site / "shared" / "__init__.py").write_text(module)
    assert overwritten(tmp_path, PYTHON) == []


def test_packages_that_require_each_other_and_strange_metadata_end(tmp_path: Path) -> None:
    unpacked(tmp_path, "beta", "Requires-Dist: alpha[a]\nRequires-Dist: ?\nRequires-Dist: x ; what == '1'")
    site = unpacked(tmp_path, "alpha", "Requires-Dist: beta[b]", "shared/__init__.py,sha256=y,1\n")
    (site / "gone-1.0.dist-info").mkdir()
    (site / "gone-1.0.dist-info" / "RECORD").symlink_to("/dev/zero")
    assert overwritten(tmp_path, PYTHON) == ["alpha==1.0"]


@pytest.mark.parametrize(
    "requires",
    [
        "Requires-Dist: alpha ; python_full_version ~= 'x'",
        "Requires-Dist: alpha ; " + "(" * 450 + "python_version < '3'" + ")" * 450,
    ],
)
def test_a_marker_that_cannot_be_evaluated_counts_as_none(tmp_path: Path, requires: str) -> None:
    unpacked(tmp_path, "beta", requires)
    unpacked(tmp_path, "alpha", record="shared/__init__.py,sha256=y,1\n")
    assert overwritten(tmp_path, PYTHON) == ["alpha==1.0"]


def test_very_many_requirements_with_very_many_extras_take_little_time(tmp_path: Path) -> None:
    chain = "".join(f"Requires-Dist: beta[e{one + 1}] ; extra == 'e{one}'\n" for one in range(3_000))
    unpacked(tmp_path, "beta", f"Requires-Dist: beta[e0]\n{chain}")
    unpacked(tmp_path, "alpha", record="shared/__init__.py,sha256=y,1\n")
    started = time.process_time()
    assert overwritten(tmp_path, PYTHON) == ["alpha==1.0"]
    assert time.process_time() - started < 10


def test_a_package_that_is_not_from_the_index_is_not_taken_from_there(tmp_path: Path) -> None:
    unpacked(tmp_path, "beta")
    site = unpacked(tmp_path, "alpha", record="shared/__init__.py,sha256=y,1\n")
    (site / "alpha-1.0.dist-info" / "direct_url.json").write_text("{}")
    assert overwritten(tmp_path, PYTHON) == []


def test_names_of_folders_are_no_options_and_records_lead_nowhere_else(tmp_path: Path) -> None:
    unpacked(tmp_path, "zeta")
    unpacked(tmp_path, "-r requirements.txt", record="shared/__init__.py,sha256=y,1\n")
    assert overwritten(tmp_path, PYTHON) == []
    unpacked(tmp_path / "other", "zeta", record="../a.py,sha256=x,1\n/a.py,sha256=x,1\n")
    unpacked(tmp_path / "other", "alpha", record="../a.py,sha256=y,1\n/a.py,sha256=y,1\n")
    assert overwritten(tmp_path / "other", PYTHON) == []
