"""``preview profile --last`` says how the last measurement stands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from preview.cli.commands.history import profile
from preview.cli.entry import run
from preview.cli.exits import ExitCode


@pytest.mark.parametrize(
    ("state", "code", "said"),
    [
        ("running", ExitCode.OK, "The measurement is still running; look again with: preview profile gen_a --last"),
        ("failed", ExitCode.FAILED, "measure again with: preview profile gen_a"),
    ],
)
def test_the_last_measurement_may_be_running_or_failed(
    state: str, code: ExitCode, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Answers:
        def get_json(self, _path: str) -> dict[str, Any]:
            return {"state": state}

    @contextlib.contextmanager
    def answers(*_: object) -> Iterator[Answers]:
        yield Answers()

    monkeypatch.setattr(profile, "open_api", answers)
    assert run(["profile", "gen_a", "--last"]) == code
    err = capsys.readouterr().err
    assert err.endswith(f"{said}\n")
    assert ("--last" in err) is (state == "running")
