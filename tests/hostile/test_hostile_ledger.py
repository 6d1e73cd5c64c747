"""The document for operators says what the programs here show."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile_ledger import ATTACKS, EXCESSES, NOT_STOPPED_BY_PLAIN, Attack, Excess

HERE = Path(__file__).parent
SECURITY = (HERE.parents[1] / "docs" / "security.md").read_text("utf-8")
WORDS = {True: "stopped", False: "not stopped", None: "depends on the user"}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.program)
def test_each_attack_stands_in_the_document_with_what_stops_it(attack: Attack) -> None:
    row = f"| {attack.tries} | {WORDS[attack.plain]} | {WORDS[attack.sandbox]} | `programs/{attack.program}.py` |"
    assert row in SECURITY
    assert (HERE / "programs" / f"{attack.program}.py").is_file()


@pytest.mark.parametrize("excess", EXCESSES, ids=lambda excess: excess.program)
def test_each_excess_stands_in_the_document_with_its_test(excess: Excess) -> None:
    assert f"| {excess.tries} | {WORDS[excess.plain]} | stopped | `{excess.test}` |" in SECURITY
    assert any(f"def {excess.test}(" in path.read_text("utf-8") for path in HERE.glob("test_*.py"))


def test_the_document_is_honest_about_plain() -> None:
    assert len(NOT_STOPPED_BY_PLAIN) > len(ATTACKS) / 2
    assert "### What plain does not stop" in SECURITY
