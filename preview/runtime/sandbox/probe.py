"""Whether this machine can sandbox, found by doing it: a process is started as previews are, and looks around."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import trio

from preview.core.isolation import Network
from preview.errors import ConfigurationError, LaunchFailed
from preview.runtime.cgroups import CgroupTree
from preview.runtime.interface import Exit, Limits, ProcessSpec
from preview.runtime.sandbox.etc import write_etc
from preview.runtime.sandbox.refusals import INSTALL, Refusal, explain_refusal
from preview.runtime.sandbox.runtime import SandboxRuntime

_MIB = 1024 * 1024
_LIMITS = Limits(memory_bytes=64 * _MIB, open_files=64, processes=16, file_bytes=_MIB, temp_bytes=_MIB)
# Milliseconds on a machine that is idle.
_TIMEOUT_S = 10.0
_SAID = "all is well"
# It can write where it should, and nowhere else.
_LOOK_AROUND = f'echo x > here && ! (echo x > /etc/x) 2>/dev/null && ! (echo x > /x) 2>/dev/null && echo "{_SAID}"'
_SHOWN_CHARACTERS = 500
_SEE_LOG = "look at the machine's load and its log (dmesg)"
# chown(2) of a number that the user namespace does not have.
_NUMBERS = "let the container have 65536 user numbers, or start the service as an ordinary user"


async def probe_sandbox(
    etc: Path, groups: CgroupTree | None = None, calls: frozenset[str] = frozenset()
) -> SandboxRuntime | Refusal:
    """The sandbox runtime in the best form that works here, or why none does.

    Args:
        etc: A folder of the service's own, for the files of ``/etc`` that sandboxes share.
        groups: Limits the trees, where this machine has control groups.
        calls: System calls that are allowed besides; see ``check_extra_calls``.

    Cancellation: what was tried is gone.
    """
    try:
        await trio.to_thread.run_sync(write_etc, etc)
    except OSError as error:
        return Refusal(f"{etc} cannot be written ({error.strerror})", "set PREVIEW_DATA_DIR to a folder you can write")
    refusals: list[Refusal] = []
    try:
        for candidate in _candidates(etc, groups, calls):
            refusal = await _try(candidate)
            if refusal is None:
                return candidate
            refusals.append(refusal)
    except ConfigurationError as error:
        return Refusal(error.message.partition(";")[0], INSTALL)
    # Where a container has few user numbers the first says just that; the last is what is wrong all the same.
    return refusals[-1]


def _candidates(etc: Path, groups: CgroupTree | None, calls: frozenset[str]) -> Sequence[SandboxRuntime]:
    if os.geteuid() != 0:
        return [SandboxRuntime(etc, own_users=False, groups=groups, calls=calls)]
    return [SandboxRuntime(etc, own_users=True, few_users=few, groups=groups, calls=calls) for few in (False, True)]


async def _try(runtime: SandboxRuntime) -> Refusal | None:
    with tempfile.TemporaryDirectory(prefix="preview-probe-") as folder:
        # Made by root for root: it has to become the preview's.
        directory = Path(folder)
        spec = ProcessSpec(
            preview_id="preview_probe",
            argv=["/bin/sh", "-c", _LOOK_AROUND],
            directory=directory,
            environment={},
            listener=None,
            limits=_LIMITS,
            writable=(directory,),
            network=Network.NONE,
        )
        said = b""
        ended: Exit | None = None
        try:
            with trio.move_on_after(_TIMEOUT_S):
                async with runtime.open_process(spec) as process:
                    async for chunk in process.output:
                        said += chunk[:_SHOWN_CHARACTERS]
                    ended = await process.wait()
        except LaunchFailed as error:
            if "missing" in error.details:
                return Refusal(f"the program {error.details['missing']} is not installed", INSTALL)
            unmapped = error.details.get("errno") == errno.EINVAL
            return Refusal(error.message.rstrip("."), _NUMBERS if unmapped else _SEE_LOG)
    text = said.decode("utf-8", "replace").strip()
    if ended == Exit(code=0) and text == _SAID:
        return None
    if ended is None:
        return Refusal(f"a sandbox did not start within {_TIMEOUT_S:g} s", _SEE_LOG)
    return explain_refusal(text or str(ended))
