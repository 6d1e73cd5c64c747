"""The receiver of the documentation, run as it stands there."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import trio
from receiver_kit import local_sender, message

DOCUMENT = Path(__file__).parents[2] / "docs" / "alerts.md"


async def test_the_documented_receiver_takes_genuine_webhooks_only() -> None:
    [program] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", program, str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        genuine = message(f"http://127.0.0.1:{port}/", body=b'{"summary": "boom"}')
        with trio.fail_after(30):
            while (result := await local_sender().send(genuine)).status is None:
                await trio.lowlevel.checkpoint()
        assert result.status == 204
        assert process.stdout is not None
        assert await process.stdout.receive_some() == b'{"summary": "boom"}\n'
        forged = await local_sender().send(replace(genuine, secret="guessed"))
        assert forged.status == 401
    finally:
        process.kill()
        await process.wait()
        if process.stdout is not None:
            await process.stdout.aclose()
