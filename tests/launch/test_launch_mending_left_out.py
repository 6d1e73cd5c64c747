"""Names of ``.env`` that pydantic's settings refuse: the preview's copy of the file loses them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from preview.detection import Overrides, Server, StartPlan, Toolchain
from preview.supervisor.mending import FailedStart, Mend, find_mend, with_folders
from preview.supervisor.preview.mends import Mends

ROOT = "/data/previews/p/project"
SETTINGS = """
from pydantic_settings import BaseSettings, SettingsConfigDict
class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env"{more})
    TITLE: str = "none"
print(Settings().TITLE)
"""
# Of a compose file's database, with a value of two lines.
DOTENV = "# ours\nTITLE=shop\nPOSTGRES_USER=shop\nexport Key='one\ntwo'\nPOSTGRES_DB=shop # the same\n"


def plan_of(toolchain: Toolchain = Toolchain.PYTHON, folder: str = ".") -> StartPlan:
    return StartPlan("fastapi", toolchain, Server.ASGI, None, directory=folder)


def mend_of(lines: list[str], *names: str, plan: StartPlan | None = None) -> Mend | None:
    return find_mend(FailedStart(lines, plan or plan_of(), frozenset(), ROOT, names=frozenset(names)))


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("more", ["", ", case_sensitive=True"])
def test_the_settings_are_read_without_the_names_that_they_refuse(tmp_path: Path, more: str) -> None:
    (tmp_path / ".env").write_text(DOTENV)
    (tmp_path / "app.py").write_text(SETTINGS.format(more=more))
    refused = run(tmp_path, "app.py")
    mend = mend_of(refused.stderr.splitlines(), ".env", "app.py")
    assert mend is not None
    assert set(mend.left_out) == {"postgres_user", "key", "postgres_db"}
    assert mend.why.endswith("of .env: left out of the preview's copy")
    (step,) = with_folders(plan_of(), (), left_out=mend.left_out).steps
    assert run(tmp_path, *step.argv[1:]).returncode == 0
    assert (tmp_path / ".env").read_text() == "# ours\nTITLE=shop\n"
    assert run(tmp_path, "app.py").stdout == "shop\n"


def test_a_file_in_the_working_folder_is_meant_too(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api/.env").write_text("a=1\nb=2\n")
    plan = plan_of(folder="api")
    mend = mend_of(
        ["b", "  Extra inputs are not permitted [type=extra_forbidden, input_value='2']"], "api/.env", plan=plan
    )
    assert mend is not None
    (step,) = with_folders(plan, (), left_out=mend.left_out).steps
    assert run(tmp_path, *step.argv[1:]).returncode == 0
    assert (tmp_path / "api/.env").read_text() == "a=1\n"


def test_the_target_of_a_link_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "outside.env").write_text("a=1\nb=2\n")
    (tmp_path / "copy/.env").symlink_to("../outside.env")
    (step,) = with_folders(plan_of(), (), left_out=("b",)).steps
    assert run(tmp_path / "copy", *step.argv[1:]).returncode == 0
    assert (tmp_path / "copy/.env").read_text() == "a=1\n"
    assert (tmp_path / "outside.env").read_text() == "a=1\nb=2\n"


@pytest.mark.parametrize(
    ("name", "names"),
    [
        # Variables of the environment are never refused, so without a file something else is.
        ("b", ("app.py",)),
        ("b", ("other/.env",)),
        ("--option", (".env",)),
        ("b; rm -rf /", (".env",)),
        ("items.0.b", (".env",)),
    ],
)
def test_other_refusals_change_nothing(name: str, names: tuple[str, ...]) -> None:
    assert mend_of([name, "  Extra inputs are not permitted [type=extra_forbidden, input_value='2']"], *names) is None


def test_what_is_left_out_stays_so_and_is_taken_back_with_its_mend() -> None:
    mends = Mends()
    mends.add(1, Overrides(), (), "first", left_out=("a",))
    mends.add(2, Overrides(extra_requirements=("nowhere",)), (), "second", left_out=("b",))
    assert list(mends.left_out) == ["a", "b"]
    assert mends.take_back()
    assert list(mends.left_out) == ["a"]
