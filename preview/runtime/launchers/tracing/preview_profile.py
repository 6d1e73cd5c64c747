"""Measures which functions of the project the time goes to, for some seconds, and reports them as a tree.

A thread looks at all stacks each 5 ms. The cost does not grow with the number of calls: an event at each call and
return, as ``sys.monitoring`` offers from Python 3.12 on, slows a hot function down several times, and there is none
before. There, calls alone are counted by its events: only those of the project's own functions, up to a limit.

A stack without the project's own code is a thread that waits; it is left out. Of a library only the function that the
project has called is shown. See ``preview/tracing/profile.py`` for the lines.

Runs in the child, on the project's own interpreter: standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import suppress
from typing import Any

_INTERVAL_S = 0.005
# Meanwhile a thread gives the interpreter up after this time, not after 5 ms: else the looks would come only when it
# waits, and its work before that would never be seen.
_SWITCH_S = 0.0002
# One look takes 5 % of the time at most.
_SHARE = 20
_LONGEST_S = 60
_MOST_NODES = 500
_MOST_DEPTH = 40
# Frames of one stack that are looked at, from the innermost on.
_MOST_FRAMES = 300
_MOST_CODES = 20_000
_MOST_NAME, _MOST_PLACE = 120, 200
# The service takes 256 KiB. A node takes so many bytes besides its name and place.
_MOST_BYTES, _NODE_BYTES = 240 * 1024, 60
# After as many calls a function is counted no more, and costs nothing any more.
_MOST_CALLS = 100_000
_SENT_BYTES = 4096
_running = threading.Lock()
# What ends the measurement of this process; empty if there is none.
_ends: list[Any] = []


def start(number: int, seconds: int, roots: Any, send: Any) -> None:
    """Measure from now on, in a thread, and send the result; do nothing if a measurement runs.

    Args:
        number: The service's number of it.
        seconds: Time to measure.
        roots: Folders of the project's own code.
        send: Sends a message; returns whether it did.
    """
    if not _running.acquire(blocking=False):
        return

    def run() -> None:
        try:
            # A profile that fails has no effect on the application: the service gets none.
            with suppress(Exception):
                _report(number, _measure(min(seconds, _LONGEST_S), _Codes(roots)), send)
        finally:
            _running.release()

    try:
        threading.Thread(target=run, name="preview-profile", daemon=True).start()
    except RuntimeError:  # No thread is available.
        _running.release()


class _Codes:
    """The functions that were seen: the project's own, and others.

    Args:
        roots: Folders of the project's own code.
    """

    def __init__(self, roots: Any) -> None:
        self._roots = tuple(os.path.join(os.path.realpath(root), "") for root in roots)  # noqa: PTH118
        self._own: dict[Any, str] = {}

    def place_of(self, code: Any) -> str:
        """Return the file and line of an own function; nothing for any other."""
        place = self._own.get(code)
        if place is None:
            if len(self._own) >= _MOST_CODES:
                self._own.clear()
            place = self._own[code] = self._place(code)
        return place

    def _place(self, code: Any) -> str:
        path = code.co_filename
        for root in self._roots:
            if path.startswith(root) and not any(one in path for one in ("/site-packages/", "/.venv/", "/venv/")):
                return f"{path[len(root) :]}:{code.co_firstlineno}"
        return ""


class _Tree:
    """Functions by the path of calls to them, with the time of their own.

    Args:
        codes: Tells the project's functions.

    Attributes:
        nodes: For each node its parent's index, its function, name, place and microseconds.
        samples: Number of looks.
        left_out: Nodes that did not fit in.
    """

    def __init__(self, codes: _Codes) -> None:
        self.nodes: list[list[Any]] = []
        self.samples = 0
        self.left_out = 0
        self._codes = codes
        self._index: dict[Any, int] = {}
        self._bytes = 0

    def look(self, took_us: int, but: int) -> None:
        """Add the time since the last look to the functions that run now, in all threads but one."""
        self.samples += 1
        for thread, frame in sys._current_frames().items():  # noqa: SLF001  documented in the library's reference
            if thread != but:
                self._add(frame, took_us)

    def _add(self, innermost: Any, took_us: int) -> None:
        path: list[tuple[Any, Any, str]] = []
        outer, frame = None, innermost
        for _ in range(_MOST_FRAMES):
            if frame is None:
                break
            place = self._codes.place_of(frame.f_code)
            if place:
                if not path and outer is not None:
                    # Called by the innermost own function.
                    path.append((outer.f_code, outer, ""))
                path.append((frame.f_code, frame, place))
            # Without what counts the calls.
            outer, frame = None if frame.f_code.co_filename == __file__ else frame, frame.f_back
        at = -1
        for depth, (code, found, place) in enumerate(reversed(path)):
            if depth >= _MOST_DEPTH:
                break
            index = self._index.get((at, code))
            if index is None:
                if len(self.nodes) >= _MOST_NODES or self._bytes >= _MOST_BYTES:
                    self.left_out += 1
                    break
                index = self._index[at, code] = len(self.nodes)
                shown = [_name(found, place)[:_MOST_NAME], place[-_MOST_PLACE:]]
                self._bytes += len(_json(shown)) + _NODE_BYTES
                self.nodes.append([at, code, *shown, 0])
            at = index
        if at >= 0:
            self.nodes[at][4] += took_us


def _name(frame: Any, place: str) -> str:
    code = frame.f_code
    name = getattr(code, "co_qualname", code.co_name).replace("<locals>.", "")
    return name if place else f"{frame.f_globals.get('__name__', '')}.{name}"


class _Calls:
    """Counts calls of the project's functions, from Python 3.12 on.

    Args:
        codes: Tells the project's functions.

    Attributes:
        is_on: False if this Python counts none.
        counts: Calls by function.
    """

    def __init__(self, codes: _Codes) -> None:
        self.counts: dict[Any, int] = {}
        self._monitoring: Any = getattr(sys, "monitoring", None)
        self._codes = codes
        # Numbers 0, 1 and 5 are those of debuggers, coverage and optimizers.
        free = (one for one in (2, 3, 4) if self._monitoring is not None and self._monitoring.get_tool(one) is None)
        self._tool = next(free, None)
        self.is_on = self._tool is not None

    def start(self) -> None:
        """Count from now on."""
        if not self.is_on:
            return
        monitoring, counts, codes = self._monitoring, self.counts, self._codes
        off = monitoring.DISABLE

        def called(code: Any, _offset: int) -> Any:
            # An error here would be the application's.
            try:
                count = counts.get(code, 0) + 1
                if count == 1 and (not codes.place_of(code) or len(counts) >= _MOST_CODES):
                    return off
                counts[code] = count
            except Exception:  # noqa: BLE001  as above
                return off
            return off if count >= _MOST_CALLS else None

        monitoring.use_tool_id(self._tool, "preview")
        monitoring.register_callback(self._tool, monitoring.events.PY_START, called)
        # Those that an earlier measurement has turned off.
        monitoring.restart_events()
        monitoring.set_events(self._tool, monitoring.events.PY_START)

    def stop(self) -> None:
        """Count no more."""
        if self.is_on:
            self._monitoring.set_events(self._tool, 0)
            self._monitoring.register_callback(self._tool, self._monitoring.events.PY_START, None)
            self._monitoring.free_tool_id(self._tool)


def _measure(seconds: int, codes: _Codes) -> tuple[int, _Tree, _Calls]:
    """Return the measured microseconds, the functions and the counts."""
    tree, calls, own = _Tree(codes), _Calls(codes), threading.get_ident()
    usual_s = sys.getswitchinterval()

    def stop() -> None:
        sys.setswitchinterval(usual_s)
        calls.stop()

    calls.start()
    _ends.append(stop)
    try:
        sys.setswitchinterval(min(usual_s, _SWITCH_S))
        began = last = time.perf_counter_ns()
        end, pause_s = began + seconds * 1_000_000_000, _INTERVAL_S
        while last < end:
            time.sleep(pause_s)
            now = time.perf_counter_ns()
            tree.look((now - last) // 1000, own)
            pause_s = max(_INTERVAL_S, (time.perf_counter_ns() - now) * _SHARE / 1e9)
            last = now
    finally:
        _ends.clear()
        stop()
    return (last - began) // 1000, tree, calls


def _end_in_fork() -> None:
    """End the measurement in a process that the application has forked: the thread that measures is not in it."""
    with suppress(Exception):
        while _ends:
            _ends.pop()()


os.register_at_fork(after_in_child=_end_in_fork)


def _json(value: Any) -> bytes:
    # As UTF-8, for escapes would take up to four times the space.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _report(number: int, found: tuple[int, _Tree, _Calls], send: Any) -> None:
    elapsed_us, tree, calls = found
    lines = []
    for parent, code, name, place, own_us in tree.nodes:
        count = calls.counts.get(code, 0) if calls.is_on and place else -1
        lines.append(b"profile %d %b\n" % (number, _json([parent, name, place, own_us, count])))
    lines.append(b"profiles %d [%d,%d,%d]\n" % (number, elapsed_us, tree.samples, tree.left_out))
    message = b""
    for line in [*lines, b""]:
        if message and (not line or len(message) + len(line) > _SENT_BYTES):
            if not send(message):
                return
            message = b""
        message += line
