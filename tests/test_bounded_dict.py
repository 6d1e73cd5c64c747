"""A dictionary of bounded size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from preview.core.bounded_dict import BoundedDict

STEPS = st.lists(st.tuples(st.sampled_from(["write", "use", "get", "delete"]), st.integers(0, 6)), max_size=60)


@given(most=st.integers(1, 4), steps=STEPS)
def test_it_keeps_the_entries_that_were_written_or_used_last(most: int, steps: list[tuple[str, int]]) -> None:
    kept: BoundedDict[int, int] = BoundedDict(most)
    # The same, as a list of entries, the newest last.
    expected: list[tuple[int, int]] = []
    for number, (step, key) in enumerate(steps):
        here = next((entry for entry in expected if entry[0] == key), None)
        if step == "write":
            kept[key] = number
            expected = [*(entry for entry in expected if entry[0] != key), (key, number)][-most:]
        elif step == "use":
            assert kept.use(key) == (here[1] if here else None)
            if here:
                expected = [*(entry for entry in expected if entry[0] != key), here]
        elif step == "get":
            assert kept.get(key) == (here[1] if here else None)
        else:
            kept.pop(key, None)
            expected = [entry for entry in expected if entry[0] != key]
        assert list(kept.items()) == expected


def test_what_is_written_all_at_once_is_bounded_as_well() -> None:
    kept: BoundedDict[int, str] = BoundedDict(2)
    kept.update({1: "a", 2: "b", 3: "c"})
    kept.setdefault(4, "d")
    assert dict(kept) == {3: "c", 4: "d"}
