"""The service's side of a sandbox's first program: one that reads nothing holds few packets, and few descriptors."""

from __future__ import annotations

import os
import socket

import pytest
import trio

from preview.http.e2b import keeper as keeper_module
from preview.http.e2b.errors import E2bError
from preview.http.e2b.keeper import Keeper, open_keeper


async def test_a_program_that_reads_nothing_holds_few_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each packet has up to five descriptors of this service, for as long as nobody reads it."""
    monkeypatch.setattr(keeper_module, "_SEND_S", 0.1)
    sent = 0

    async def send(keeper: Keeper, descriptor: int) -> None:
        nonlocal sent
        while sent < 1000:
            await keeper._send({"do": "run"}, [descriptor] * 5)
            sent += 1

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            with open_keeper(nursery) as keeper, socket.socket(fileno=os.dup(keeper.theirs.fileno())):
                reader, writer = os.pipe()
                try:
                    with pytest.raises(E2bError, match="does not answer"):
                        await send(keeper, reader)
                finally:
                    os.close(reader)
                    os.close(writer)
    assert 1 <= sent <= 16
