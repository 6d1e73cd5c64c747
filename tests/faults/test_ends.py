"""Each reader of a preview that ends has every line and exactly one ``end``; benchmarks/ends.py ends a thousand."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trio
from end_readers import KINDS
from end_soak import ENDS, draw, open_soak

# Each end with each program; in a long run four times on the direct path, where it is by chance which reader a
# mistake hits.
_ONCE, _OFTEN = 10, 40
_READERS = 12
_SEED = 4
_LIMIT_S = 150


@pytest.mark.long
@pytest.mark.parametrize(
    ("secured", "previews", "port_min"),
    [
        pytest.param(False, _ONCE, 43000, id="plaintext"),
        pytest.param(True, _ONCE, 43100, id="TLS", marks=pytest.mark.long),
        pytest.param(False, _OFTEN, 43000, id="plaintext-often", marks=pytest.mark.long),
    ],
)
async def test_each_reader_has_every_line_and_one_end_however_its_preview_ends(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, secured: bool, previews: int, port_min: int
) -> None:
    cache = tmp_path_factory.getbasetemp() / "fault-cache"
    draws = [draw(_SEED, number, secured=secured, most_readers=_READERS) for number in range(previews)]
    with trio.fail_after(_LIMIT_S):
        async with open_soak(tmp_path / "soak", cache, secured=secured, port_min=port_min) as soak:
            await soak.run(draws, until=time.monotonic() + _LIMIT_S)
    assert soak.problems == []
    assert soak.ends == dict.fromkeys(ENDS, previews // len(ENDS))
    assert set(soak.streams) == {name for name, (_, _, needs) in KINDS.items() if needs is secured}
    assert soak.streams.total() == sum(len(one.early) + len(one.late) for one in draws)
