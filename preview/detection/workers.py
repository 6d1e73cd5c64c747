"""Background workers that a project's Procfile names; they run beside the application."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from preview.detection.plan import StartPlan, Step
from preview.sources import Sources

_LINE: Final = re.compile(r"^([A-Za-z0-9_-]{1,40}):[ \t]*(\S[^\n]{0,1000})$", re.MULTILINE)
_NAMES: Final = re.compile(r"worker|celery|beat|schedul|queue|jobs|consumer", re.IGNORECASE)
_FOLDER: Final = re.compile(r"cd[ \t]+([\w./-]{1,200})[ \t]*&&[ \t]*")
_SHELL: Final = re.compile(r"[|;&<>`$(){}*?\\]")
_VARIABLE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,60})=(.*)", re.DOTALL)
_CELERY_SIZE: Final = ("-c", "--concurrency", "-P", "--pool", "--autoscale")
_MOST_BYTES: Final = 20_000
# Workers of one preview, which share its memory with the application.
_MOST: Final = 2
_MOST_SHOWN: Final = 120
_MOST_WARNED: Final = 3


def with_workers(plan: StartPlan, sources: Sources) -> StartPlan:
    """Return the plan with the workers of its Procfile, and a sentence for each."""
    folders = dict.fromkeys((plan.directory, plan.manifests, "."))
    folder = next((one for one in folders if _procfile(one) in sources.all_names), None)
    if folder is None:
        return plan
    workers: list[Step] = []
    said: list[str] = []
    warned: list[str] = []
    for name, command in _named(sources.text(_procfile(folder))[:_MOST_BYTES].decode("utf-8", "replace")):
        shown = command if len(command) <= _MOST_SHOWN else f"{command[:_MOST_SHOWN]}…"
        worker = _worker(name, command, folder)
        if worker is None:
            warned.append(f"{_procfile(folder)}: {name} is not started: `{shown}` needs a shell; write a plain command")
        elif len(workers) == _MOST:
            warned.append(f"{_procfile(folder)}: {name} is not started: a preview has {_MOST} workers at most")
            break
        else:
            workers.append(worker)
            said.append(f"{_procfile(folder)}: the worker {name} (`{shown}`) runs beside the application")
    return replace(
        plan,
        workers=tuple(workers),
        decisions=(*plan.decisions, *said),
        warnings=(*plan.warnings, *warned[:_MOST_WARNED]),
    )


def _procfile(folder: str) -> str:
    return "Procfile" if folder == "." else f"{folder}/Procfile"


def _named(text: str) -> Iterator[tuple[str, str]]:
    for name, command in _LINE.findall(text.replace("\r\n", "\n")):
        if _NAMES.search(name) and command.isprintable():
            yield name, command.strip()


def _worker(name: str, command: str, folder: str) -> Step | None:
    """Return the worker of a line; None if it needs a shell."""
    moved = _FOLDER.match(command)
    if moved is not None:
        command = command[moved.end() :]
        inside = [part for part in moved[1].split("/") if part not in ("", ".")]
        if moved[1].startswith("/") or ".." in inside:
            return None
        folder = "/".join([*([] if folder == "." else [folder]), *inside]) or "."
    if _SHELL.search(command):
        return None
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    variables: dict[str, str] = {}
    while words and (words[0] in ("env", "exec") or _VARIABLE.fullmatch(words[0])):
        found = _VARIABLE.fullmatch(words.pop(0))
        if found is not None:
            variables[found[1]] = found[2]
    if not words:
        return None
    return Step(name, _bounded(words), folder, "named by its Procfile", variables=variables or None)


def _bounded(words: list[str]) -> tuple[str, ...]:
    """Return the command; Celery starts a process for each processor of the machine, here one."""
    is_celery = words[0] == "celery" or words[1:3] == ["-m", "celery"]
    if is_celery and "worker" in words and not any(one.startswith(_CELERY_SIZE) for one in words):
        return (*words, "--concurrency=1")
    return tuple(words)
