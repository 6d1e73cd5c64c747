"""Which templates were used most is known after a restart of the service, and nothing of it is ever an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from preview.runtime.warm.wanted import RememberedTemplates, Wanted

Make = Callable[..., Wanted]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "templates"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(key: str, *modules: str) -> Wanted:
        python = tmp_path / "environments" / key / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()
        return Wanted(key, python, tmp_path / "launchers", (python.parent,), frozenset(modules), (tmp_path / "data",))

    return make


def use(remembered: RememberedTemplates, wanted: Wanted, times: int = 1) -> None:
    for _ in range(times):
        remembered.note(wanted)


def keys(folder: Path, count: int = 10) -> list[str]:
    """What the next service begins with."""
    return [wanted.key for wanted in RememberedTemplates(folder).most_used(count)]


def test_what_a_template_was_made_of_is_known_after_a_restart(folder: Path, make: Make) -> None:
    wanted = make("one", "fastapi", "sqlalchemy.orm:Session")
    use(RememberedTemplates(folder), wanted)
    assert RememberedTemplates(folder).most_used(10) == [wanted]


def test_those_used_most_come_first(folder: Path, make: Make) -> None:
    remembered = RememberedTemplates(folder)
    for key, times in (("seldom", 1), ("often", 9), ("sometimes", 4)):
        use(remembered, make(key), times)
    assert keys(folder) == ["often", "sometimes", "seldom"]


def test_no_more_are_named_than_are_asked_for(folder: Path, make: Make) -> None:
    remembered = RememberedTemplates(folder)
    for key, times in (("seldom", 1), ("often", 9)):
        use(remembered, make(key), times)
    assert keys(folder, 1) == ["often"]
    assert keys(folder, 0) == []


def test_uses_are_counted_over_restarts(folder: Path, make: Make) -> None:
    for _ in range(2):
        use(RememberedTemplates(folder), make("often"), 4)
    use(RememberedTemplates(folder), make("seldom"), 7)
    assert keys(folder) == ["often", "seldom"]


def test_only_each_doubling_is_written(folder: Path, make: Make) -> None:
    remembered, wanted, written = RememberedTemplates(folder), make("one"), []
    file = folder / "one.json"
    for number in range(1, 10):
        file.unlink(missing_ok=True)
        use(remembered, wanted)
        if file.exists():
            written.append(number)
    assert written == [1, 2, 4, 8]


def test_the_modules_of_the_last_writing_are_known(folder: Path, make: Make) -> None:
    remembered = RememberedTemplates(folder)
    use(remembered, make("one", "fastapi"))
    use(remembered, make("one", "fastapi", "httpx"))
    (wanted,) = RememberedTemplates(folder).most_used(1)
    assert wanted.modules == {"fastapi", "httpx"}


def test_a_folder_that_is_not_there_is_nothing(folder: Path) -> None:
    assert keys(folder) == []


def test_the_folder_is_the_services_own(folder: Path, make: Make) -> None:
    use(RememberedTemplates(folder), make("one"))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir()] == ["one.json"]


@pytest.mark.parametrize(
    "change",
    [
        lambda said: b"\xff\xfe",
        lambda said: b"",
        lambda said: b"[]",
        lambda said: b"{",
        lambda said: json.dumps({**said, "uses": "many"}).encode(),
        lambda said: json.dumps({**said, "python": 7}).encode(),
        lambda said: json.dumps({**said, "modules": "fastapi"}).encode(),
        lambda said: json.dumps({**said, "anchors": [None]}).encode(),
        lambda said: json.dumps({name: value for name, value in said.items() if name != "key"}).encode(),
        lambda said: json.dumps({**said, "modules": ["x" * 300_000]}).encode(),
    ],
)
def test_a_file_that_says_something_else_is_removed(
    folder: Path, make: Make, change: Callable[[dict[str, object]], bytes]
) -> None:
    remembered = RememberedTemplates(folder)
    use(remembered, make("good"))
    use(remembered, make("bad"))
    bad = folder / "bad.json"
    bad.write_bytes(change(json.loads(bad.read_text("utf-8"))))
    assert keys(folder) == ["good"]
    assert not bad.exists()


def test_a_folder_in_place_of_a_file_is_left_alone(folder: Path, make: Make) -> None:
    use(RememberedTemplates(folder), make("good"))
    (folder / "odd.json").mkdir()
    assert keys(folder) == ["good"]


def test_a_template_whose_environment_is_gone_is_forgotten(folder: Path, make: Make) -> None:
    remembered, gone = RememberedTemplates(folder), make("gone")
    use(remembered, gone, 8)
    use(remembered, make("good"))
    gone.python.unlink()
    assert keys(folder) == ["good"]
    assert [path.name for path in folder.iterdir()] == ["good.json"]


def test_a_use_of_what_was_a_broken_file_is_the_first(folder: Path, make: Make) -> None:
    folder.mkdir(parents=True)
    (folder / "one.json").write_text("{")
    use(RememberedTemplates(folder), make("one"))
    assert json.loads((folder / "one.json").read_text("utf-8"))["uses"] == 1


def test_where_nothing_can_be_written_nothing_fails(tmp_path: Path, make: Make) -> None:
    # Not by its rights, which root does not heed.
    (tmp_path / "file").touch()
    remembered = RememberedTemplates(tmp_path / "file")
    use(remembered, make("one"), 3)
    assert remembered.most_used(10) == []


def test_where_a_file_cannot_be_put_nothing_is_left_of_it(folder: Path, make: Make) -> None:
    (folder / "one.json").mkdir(parents=True)
    use(RememberedTemplates(folder), make("one"))
    assert [path.name for path in folder.iterdir()] == ["one.json"]
