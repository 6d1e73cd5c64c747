"""Run a program as root of a range of user ids: ``enter_range.py COUNT PROGRAM ARGUMENT…``; root of the machine only.

What ``unshare --map-root-user --map-auto --mount`` and newuidmap(1) do for an ordinary user who has a range.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_NEWNS, _NEWUSER = 0x20000, 0x10000000
_FIRST_ABOVE = 1_800_000_000


def main(count: int, argv: list[str]) -> None:
    asked, answer = os.pipe(), os.pipe()
    parent = os.getpid()
    if os.fork() == 0:
        os.read(asked[0], 1)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{parent}/{name}").write_text(f"0 0 1\n1 {_FIRST_ABOVE} {count}\n")
        os.write(answer[1], b".")
        os._exit(0)
    assert ctypes.CDLL(None).unshare(_NEWUSER | _NEWNS) == 0
    os.write(asked[1], b".")
    assert os.read(answer[0], 1) == b"."
    os.wait()
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
