"""References between the values of an example file cost no more than a variable can hold."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from preview.detection.settings.example_files import own_values
from preview.sources import Sources


def test_a_value_that_refers_to_itself_again_and_again_stays_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=" + "${A}" * 10_000 + "\n")
    sources = Sources(tmp_path)
    tracemalloc.start()
    try:
        found = own_values(sources, ["."])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Interpolated it would be 10,000 times 40 kB.
    assert peak < 8 << 20
    assert found["A"].value == "${A}" * 10_000


def test_many_values_that_refer_to_a_long_one_are_bounded_together(tmp_path: Path) -> None:
    lines = ["LONG=" + "x" * 100_000, *(f"V{number}=${{LONG}}" for number in range(1_000))]
    (tmp_path / ".env").write_text("\n".join(lines))
    found = own_values(Sources(tmp_path), ["."])
    assert sum(len(one.value) for one in found.values()) < 1 << 20


def test_a_reference_within_bounds_is_followed(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HOST=db\nURL=postgres://${HOST}/x${NONE:-y}\n")
    assert own_values(Sources(tmp_path), ["."])["URL"].value == "postgres://db/xy"
