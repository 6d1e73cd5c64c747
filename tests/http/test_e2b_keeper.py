"""The service's side of a sandbox's first program: one that reads nothing holds few packets, and few descriptors."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import trio

from preview.http.e2b import keeper as keeper_module
from preview.http.e2b.command import HOME
from preview.http.e2b.errors import E2bError
from preview.http.e2b.keeper import Keeper, keeper_command, open_keeper, placed_files


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


def test_the_first_program_is_where_no_folder_of_the_sandbox_s_own_is() -> None:
    """A service that is installed below /tmp has it there as well."""
    program = Path(keeper_command()[3])
    (shown,) = placed_files
    assert program.parent == shown
    assert not any(program.is_relative_to(own) for own in (HOME, "/tmp"))
    assert (placed_files[shown] / program.name).is_file()
