"""The probe's confined program: finds requests that an application answers wrongly.

It is started with the number of a connected socket. The document that it reads is a stranger's: time and memory are
bounded here, and by the service, which ends the program.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preview.replay.probe.confined.preview_probe_build import Builder
    from preview.replay.probe.confined.preview_probe_channel import Channel, TimeIsUp
    from preview.replay.probe.confined.preview_probe_findings import Findings
    from preview.replay.probe.confined.preview_probe_judge import Judge, Schemas
    from preview.replay.probe.confined.preview_probe_model import Document, all_operations
    from preview.replay.probe.confined.preview_probe_requests import Session
    from preview.replay.probe.confined.preview_probe_schemathesis import Schemathesis, load_library
    from preview.replay.probe.confined.preview_probe_values import Values
    from preview.replay.probe.confined.preview_probe_walk import Walk
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  isolated mode leaves it out
    sys.path.extend(sys.argv[2:])
    from preview_probe_build import Builder
    from preview_probe_channel import Channel, TimeIsUp
    from preview_probe_findings import Findings
    from preview_probe_judge import Judge, Schemas
    from preview_probe_model import Document, all_operations
    from preview_probe_requests import Session
    from preview_probe_schemathesis import Schemathesis, load_library
    from preview_probe_values import Values
    from preview_probe_walk import Walk

_MEMORY_BYTES = 1024 * 1024 * 1024
# Part of the time for the probe's own requests, if another engine follows.
_OWN_PART = 0.6
# What cannot be ended otherwise ends with the program, this many seconds after its time.
_LATE_S = 1.5


def main(descriptor: int) -> None:
    """Probe the application that the service sends requests to."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = _MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(_MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    channel = Channel(socket.socket(fileno=descriptor))
    watchdog = threading.Timer(channel.left_s() + _LATE_S, _give_up, (channel,))
    watchdog.daemon = True
    watchdog.start()
    try:
        _probe(channel)
    except TimeIsUp:
        pass
    except (MemoryError, RecursionError) as error:
        channel.say(note=f"The OpenAPI document needs too much time or memory to be read ({type(error).__name__}).")
    channel.say(done=True)
    # Threads of the engine may wait for ever.
    os._exit(0)


def _give_up(channel: Channel) -> None:
    with contextlib.suppress(TimeIsUp):
        channel.say(done=True)
    os._exit(0)


def _probe(channel: Channel) -> None:
    document = _document(channel)
    uses_library = document is not None and channel.task["schemathesis"]
    if uses_library:
        # It takes a second or more, in which the first requests wait for their answers.
        threading.Thread(target=load_library, daemon=True).start()
    operations = all_operations(document, channel.task["endpoints"], channel.task["only"])
    channel.say(operations=[[one.method, one.path, one.is_documented] for one in operations])
    schemas = Schemas(document)
    values = Values(document, str(channel.task["seed"]))
    session = Session(channel, values, operations)
    judge = Judge(schemas)
    findings = Findings(session, judge)
    _walk(channel, Walk(session, Builder(session, judge), findings), is_whole=not uses_library)
    if document is not None and uses_library:
        channel.say(phase="requests by Schemathesis")
        if Schemathesis(channel, document, session, findings).run():
            channel.say(engine="schemathesis")


def _walk(channel: Channel, walk: Walk, *, is_whole: bool) -> None:
    """Send the probe's own requests; unless they are the whole probe, they leave time for the rest."""
    deadline = channel.deadline
    if not is_whole:
        channel.deadline -= channel.left_s() * (1 - _OWN_PART)
    try:
        walk.run()
    except TimeIsUp:
        if is_whole:
            raise
    channel.deadline = deadline


def _document(channel: Channel) -> Document | None:
    text = channel.task.get("document")
    if not text:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("paths"), dict):
        channel.say(note="The application's OpenAPI document cannot be read.")
        return None
    return Document(found)


if __name__ == "__main__":
    main(int(sys.argv[1]))
