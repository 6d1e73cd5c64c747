"""Request, answer and limits of the confined programs. Standard library only.

A program answers once: ``{"ok": …}``, ``{"refused": sentence}`` or ``{"unavailable": sentence}``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

# Longer values are cut.
MOST_CHARACTERS = 2048
_MEMORY_BYTES = 512 * 1024 * 1024


class Refused(Exception):
    """A statement is refused; the message is a sentence."""


class Unavailable(Exception):
    """Something cannot be read; the message is a sentence."""


def answer(act: Callable[[dict[str, Any]], object], *, seconds: float, late: str) -> None:
    """Call ``act`` with the request, and print the answer.

    Args:
        act: Returns what is answered.
        seconds: After this time the program ends, whatever it does; ``act`` should end before by itself.
        late: Sentence that is answered then.
    """
    _bound_memory()
    lock = threading.Lock()

    def give_up() -> NoReturn:
        lock.acquire()
        _print({"unavailable": late})
        os._exit(0)

    watchdog = threading.Timer(seconds, give_up)
    watchdog.daemon = True
    watchdog.start()
    try:
        said: dict[str, object] = {"ok": act(json.loads(os.environ["PREVIEW_REQUEST"]))}
    except Refused as error:
        said = {"refused": str(error)}
    except Unavailable as error:
        said = {"unavailable": str(error)}
    except MemoryError:
        said = {"unavailable": "The data needs too much memory to be read."}
    except Exception as error:  # noqa: BLE001  a sentence, not a traceback
        said = {"unavailable": f"The data cannot be read ({type(error).__name__})."}
    lock.acquire()
    _print(said)
    # Without the end of threads and the release of memory.
    os._exit(0)


def _print(said: dict[str, object]) -> None:
    # Escapes keep lone surrogates, which names of files may contain.
    sys.stdout.write(json.dumps(said, ensure_ascii=True, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _bound_memory() -> None:
    """Bound the address space. Hostile data then fails here, where nothing else is harmed."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = _MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(_MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def shown(value: object) -> tuple[str | None, bool]:
    r"""Return a value as text, and whether it was cut. Bytes are shown as ``\x…``; None stays None."""
    if value is None:
        return None, False
    if isinstance(value, bytes):
        text = "\\x" + value[: MOST_CHARACTERS // 2].hex()
        return text, len(value) > MOST_CHARACTERS // 2
    text = value if isinstance(value, str) else str(value)
    return text[:MOST_CHARACTERS], len(text) > MOST_CHARACTERS
