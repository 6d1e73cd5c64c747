"""A README's block of `NAME=value` lines gives variables their values."""

from __future__ import annotations

from pathlib import Path

import pytest
from detection_kit import plan_of

from preview.detection.plan import Origin
from preview.detection.settings import written_values
from preview.supervisor.mending.container_values import find_example_values

FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"


def readme(*lines: str, language: str = "") -> str:
    return "\n".join(("# Shop", f"```{language}", *lines, "```", "more"))


def plan_with(tmp_path: Path, text: str, **files: str) -> dict[str, tuple[str, Origin]]:
    source = {"main.py": f"import os\n{text}\n{FASTAPI}", **files}
    return {one.name: (one.value, one.origin) for one in plan_of(tmp_path, source).variables.values()}


def test_a_demanded_variable_gets_the_value_of_the_readme(tmp_path: Path) -> None:
    block = readme("# needed", "COLOUR=blue", 'SIZE="large"')
    plan = plan_with(tmp_path, 'x = os.environ["COLOUR"]', **{"README.md": block})
    assert plan["COLOUR"] == ("blue", Origin.EXAMPLE)


@pytest.mark.parametrize("text", ['x = os.getenv("COLOUR")', 'x = os.getenv("COLOUR", "red")'])
def test_what_nobody_demands_stays_as_it_was(tmp_path: Path, text: str) -> None:
    assert "COLOUR" not in plan_with(tmp_path, text, **{"README.md": readme("COLOUR=blue")})


def test_an_example_file_comes_first(tmp_path: Path) -> None:
    files = {"README.md": readme("COLOUR=blue"), ".env.example": "COLOUR=green\n"}
    assert plan_with(tmp_path, 'x = os.environ["COLOUR"]', **files)["COLOUR"][0] == "green"
    assert find_example_values(tmp_path, list(files))["COLOUR"] == ("green", ".env.example")


def test_a_server_is_no_value_of_a_readme_before_a_start_has_failed(tmp_path: Path) -> None:
    block = readme("SHOP_URL=https://shop.example/api", "REDIS_HOST=cache")
    plan = plan_with(tmp_path, 'x = os.environ["SHOP_URL"], os.environ["REDIS_HOST"]', **{"README.md": block})
    assert {plan["SHOP_URL"][1], plan["REDIS_HOST"][1]} == {Origin.MADE_UP}
    assert find_example_values(tmp_path, ["README.md"])["SHOP_URL"] == ("https://shop.example/api", "README.md")


def test_the_readme_of_a_folder_is_not_read_for_a_mend(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README.md").write_text(readme("COLOUR=blue"))
    assert find_example_values(tmp_path, ["docs/README.md"]) == {}


@pytest.mark.parametrize(
    "block",
    [
        readme("COLOUR=blue", "python main.py"),
        readme("COLOUR=blue", language="python"),
        readme("COLOUR = 'blue'"),
        readme("colour=blue"),
        readme("COLOUR==1.0"),
        readme("COLOUR=<your colour>"),
        readme("COLOUR=http://user:password@host:port/name"),
        readme("COLOUR=http://<user>@localhost/name"),
        readme("COLOUR=your-colour"),
        readme("COLOUR=$OTHER"),
        readme("COLOUR=..."),
        "COLOUR=blue",
        "```\nCOLOUR=blue\n",
    ],
)
def test_a_program_and_a_placeholder_are_no_values(block: str) -> None:
    assert written_values(block) == {}


def test_a_block_may_be_indented_exported_and_named() -> None:
    text = "1. Write:\n   ```sh\n   export COLOUR=blue\n\n   # comment\n   SIZE=2 # pixels\n   ```\n"
    assert written_values(text) == {"COLOUR": "blue", "SIZE": "2"}


def test_a_longer_fence_ends_with_one_of_its_length() -> None:
    assert written_values("````\nA_B=1\n```\n````\n```\nC_D=2\n```\n") == {"C_D": "2"}


@pytest.mark.parametrize("text", ["`" * 200_000, "```\n" * 60_000, "```\n" + "AB=1\n" * 60_000, "> " * 200_000])
def test_a_hostile_readme_gives_few_values(text: str) -> None:
    assert len(written_values(text + "\n```")) <= 200
    assert len(written_values("```\n" + "".join(f"A{one}=1\n" for one in range(9_999)) + "```")) == 200
