"""Local sockets for client programs: long paths, no links, and an end for every connection."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import trio

from preview.runtime import open_local_socket


async def echo(client: trio.SocketStream) -> None:
    """Send back what comes."""
    async for chunk in client:
        await client.send_all(chunk)


async def connect(folder: Path) -> trio.SocketStream:
    """Connect as a program does that sees the folder at a short path."""
    descriptor = os.open(folder, os.O_DIRECTORY)
    try:
        return trio.SocketStream(await _connected(f"/proc/self/fd/{descriptor}/s"))
    finally:
        os.close(descriptor)


async def _connected(path: str) -> trio.socket.SocketType:
    found = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        await found.connect(path)
    except OSError:
        found.close()
        raise
    return found


async def test_a_folder_behind_a_link_gets_no_socket(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "folder").symlink_to("elsewhere")
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        async with open_local_socket(tmp_path / "folder" / "s", echo):
            pass
    assert not list((tmp_path / "elsewhere").iterdir())


async def test_connections_below_a_long_path_are_served_until_the_end(tmp_path: Path) -> None:
    folder = tmp_path / ("long-" * 40)
    folder.mkdir()
    async with open_local_socket(folder / "s", echo):
        client = await connect(folder)
        await client.send_all(b"hello")
        assert await client.receive_some() == b"hello"
    async with client:
        assert await client.receive_some() == b""
    with pytest.raises(ConnectionRefusedError):
        await connect(folder)
