"""Translate ``RUN``, ``COPY`` and ``ADD`` into what the engine's classic builder has.

That builder knows no texts in the Dockerfile, no mounts, and no ``--chmod``. What means the same without them is
written so; what does not is refused. Source: docs.docker.com/reference/dockerfile.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from preview.core.quoting import quoted
from preview.environments.images.inline_texts import InlineText, as_json, is_marker

FILES_IMAGE: Final = "\0"
"""Stands for the name of the image with ``CopiedFile``s; no Dockerfile has this character."""

DEFAULT_SHELL: Final = ("/bin/sh", "-c")
"""The shell of images that name none."""

_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,250}")
_FLAG: Final = re.compile(r"(--\S*)[ \t]*")
_COPY_FLAG = re.compile(r"--(from|chown)=([A-Za-z0-9._:/@-]+)")
_MODE: Final = re.compile(r"--chmod=(0?[0-7]{3,4})")
_PLAIN_PATH: Final = re.compile(r"[\w./@+][\w./@+-]{0,200}", re.ASCII)
# The engine's parser takes no longer line; a program no longer argument.
_MOST_LINE: Final = 60_000
_MOST_FILES: Final = 200
# Of the number of a stage. The engine takes a number that is too great for it for the name of an image.
_MOST_DIGITS: Final = 9
_SCRIPTS: Final = "/dev/pipes"
# The Engine API starts BuildKit, but it ignores the limits of memory, processor time and file size, refuses a network
# that is another container's, and lists no step that could be watched. Tried with Docker 20.10.24.
_NO_BUILDKIT: Final = "needs BuildKit, which is not used here, as it cannot limit a build's memory and network"
_INSTEAD: Final = {
    "--chmod": "Set the permissions by RUN chmod in the next line",
    "--exclude": "Name the files in .dockerignore",
    "--parents": "Write one COPY for each folder",
}
_MOUNT_KEYS: Final = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}


class Refused(Exception):
    """The sentence for the person."""


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """A file that ``COPY`` copies from an image of such files, as the builder cannot make it itself.

    Attributes:
        path: Its path in that image, without the first ``/``.
        mode: Its permissions.
        text: Its content; None if it is a file of the project.
        source: Its path below the folder that the build copies from, if it is a file of the project.
    """

    path: str
    mode: int
    text: str | None = None
    source: str = ""


@dataclass(slots=True)
class Stage:
    """A stage of a Dockerfile: its name, the image that it is built on at last, and what its instructions have set.

    Attributes:
        name: Its name in small letters; a blank without one.
        base: The image; ``scratch`` for none.
        shell: What ``SHELL`` names; None if it names none.
        volumes: Its volumes, and those of the stages that it is built on. A step that runs in a stage with volumes
            would write to folders of the engine that nothing measures, so they are declared last.
    """

    name: str
    base: str
    shell: tuple[str, ...] | None = None
    volumes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Needs:
    """Needs of a Dockerfile, found so far.

    Attributes:
        stages: Its stages so far.
        images: Images, each once.
        own_shells: Of these, the ones that must not have a shell of their own.
        files: Files that an image of the service has.
        warnings: One sentence for each thing that is left out.
    """

    stages: list[Stage] = field(default_factory=list)
    images: dict[str, None] = field(default_factory=dict)
    own_shells: dict[str, None] = field(default_factory=dict)
    files: list[CopiedFile] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)

    def is_stage(self, name: str) -> bool:
        """Return whether a name or number is that of a stage before the current one."""
        # The current stage does not count: the engine would look for an image of its name.
        if name.isdecimal():
            return len(name) <= _MOST_DIGITS and int(name) < len(self.stages) - 1
        return name.lower() in [one.name for one in self.stages[:-1]]


def needs_buildkit(what: str, instead: str) -> Refused:
    """Return the refusal of an option that only BuildKit has."""
    return Refused(f"{what} {_NO_BUILDKIT}. {instead}")


def split_flags(rest: str) -> tuple[list[str], str]:
    """Return the options before the arguments, and the arguments."""
    flags, at = [], 0
    while found := _FLAG.match(rest, at):
        flags.append(found[1])
        at = found.end()
    return flags, rest[at:]


def copy_lines(needs: Needs, word: str, rest: str, texts: Sequence[InlineText]) -> list[str]:
    """Return lines that copy the same files.

    Args:
        needs: Gets what the lines need.
        word: ``COPY`` or ``ADD``.
        rest: The instruction without its first word.
        texts: Its texts.

    Raises:
        Refused: There is no such line.
    """
    flags, rest = split_flags(rest.replace("\t", " "))
    kept, mode = _copy_flags(needs, word, flags)
    if re.match(r"[^\s\[]*(?:://|git@)", rest):
        raise Refused("ADD may not fetch an address; put the file into the project, and COPY it")
    if not texts and "<<" in rest and as_json(rest) is None:
        raise Refused(f'{word} has << in a path; write the paths as ["from", "to"]')
    if not texts and mode is None:
        return [f"COPY {' '.join([*kept, rest])}"]
    if any(one.startswith("--from=") for one in kept):
        what = "text in the Dockerfile" if mode is None else "--chmod"
        raise needs_buildkit(f"{word} --from with {what}", _INSTEAD["--chmod"])
    *sources, target = rest.split() or [""]
    paths = [one for one in sources if not is_marker(one)]
    is_whole = len(sources) - len(paths) == len(texts) and not is_marker(target)
    if not sources or not is_whole or (len(sources) > 1 and not target.endswith("/")):
        raise Refused(f"{word} with a text or --chmod needs a target; for several sources, one that ends with /")
    lines: list[str] = []
    folder, copied = len(needs.files), []
    if mode is None and paths:
        lines.append(f"COPY {' '.join([*kept, *paths, target])}")
    elif mode is not None:
        copied += [_file_of_project(word, one, f"{folder}", number, mode) for number, one in enumerate(paths)]
    copied += [_file_of_text(one, f"{folder}", len(paths) + number, mode) for number, one in enumerate(texts)]
    needs.files += copied
    if len(needs.files) > _MOST_FILES:
        raise Refused(f"there are more than {_MOST_FILES} texts and files with --chmod; COPY a folder instead")
    lines.append(f"COPY --from={FILES_IMAGE} {' '.join([*kept, *(f'/{one.path}' for one in copied), target])}")
    return lines


def _copy_flags(needs: Needs, word: str, flags: Sequence[str]) -> tuple[list[str], int | None]:
    """Return the options that the builder has, and the permissions."""
    kept, mode = [], None
    for flag in flags:
        name = flag.partition("=")[0]
        if flag in ("--link", "--link=true", "--link=false"):
            continue
        if found := _MODE.fullmatch(flag):
            mode = int(found[1], 8)
            continue
        if name in _INSTEAD:
            raise needs_buildkit(f"{word} {name}", _INSTEAD[name])
        found = _COPY_FLAG.fullmatch(flag)
        if found is None:
            raise Refused(f"write {quoted(flag)} as --from=NAME or --chown=USER:GROUP, without quotes and variables")
        if found[1] == "from":
            need_image(needs, found[2])
        kept.append(flag)
    return kept, mode


def need_image(needs: Needs, name: str) -> None:
    """Note the image that ``--from`` names, unless it is a stage.

    Raises:
        Refused: It is no name of an image, or the number of no stage.
    """
    if needs.is_stage(name):
        return
    if name.isdecimal():
        raise Refused(f"no earlier stage has the number {name[:20]}; the first one is 0")
    note_image(needs, name)


def note_image(needs: Needs, name: str) -> None:
    """Note an image.

    Raises:
        Refused: It is no name of one.
    """
    if not _IMAGE.fullmatch(name):
        raise Refused(f"{quoted(name)} is no name of an image")
    needs.images[name] = None


def _file_of_project(word: str, path: str, folder: str, number: int, mode: int) -> CopiedFile:
    plain = posixpath.normpath(path.lstrip("/"))
    if not _PLAIN_PATH.fullmatch(path) or plain.startswith("..") or plain == ".":
        raise needs_buildkit(
            f"{word} --chmod of {quoted(path[:60])}, which is not the name of one file,", _INSTEAD["--chmod"]
        )
    return CopiedFile(f"{folder}/{number}/{posixpath.basename(plain)}", mode, source=plain)


def _file_of_text(text: InlineText, folder: str, number: int, mode: int | None) -> CopiedFile:
    if not text.is_plain and ("$" in text.lines or "\\" in text.lines):
        raise Refused(
            f"the text after {text.marker} has $ or \\, and variables in it are not filled in here; write "
            f"<<'{text.name}' to copy it as it is"
        )
    return CopiedFile(f"{folder}/{number}/{text.name}", 0o644 if mode is None else mode, text=text.content)


def run_lines(needs: Needs, rest: str, texts: Sequence[InlineText]) -> list[str]:
    """Return lines that run the same command; see ``copy_lines``.

    Raises:
        Refused: There is no such line.
    """
    flags, rest = split_flags(rest)
    lines = [line for flag in flags for line in _flag_of_run(needs, flag)]
    if "<<" not in rest or as_json(rest) is not None:
        return [*lines, f"RUN {rest}"]
    stage = needs.stages[-1]
    if len(texts) == 1 and rest == texts[0].marker:
        # The text is the script. One that names its program is run by that, as a file.
        script = texts[0].content
        if script.startswith("#!"):
            return [*lines, _in_json((*DEFAULT_SHELL, _as_file(texts[0].name, script)))]
    else:
        # The shell reads the texts itself.
        script = "".join([rest, *(f"\n{one.lines}{one.name}" for one in texts)])
    if stage.shell is None and stage.base != "scratch":
        needs.own_shells[stage.base] = None
    return [*lines, _in_json((*(stage.shell or DEFAULT_SHELL), script))]


def _as_file(name: str, script: str) -> str:
    """Return the command that runs a script by the program in its first line, from where BuildKit has it.

    ``/dev`` is in memory, and no part of the image.
    """
    program, *argument = script.partition("\n")[0][2:].strip(" \t\r").split(None, 1)[:2] or [""]
    if not program.startswith("/"):
        raise Refused("the first line of a text names no program; write an absolute path, such as #!/bin/sh")
    path = f"{_SCRIPTS}/{name}"
    run = shlex.join([program, *argument, path])
    return f"mkdir -p {_SCRIPTS} && printf %s {shlex.quote(script)} > {shlex.quote(path)} && exec {run}"


def _in_json(words: Sequence[str]) -> str:
    if any("\0" in one for one in words):
        raise Refused("the text has a NUL character; remove it")
    line = f"RUN {json.dumps(list(words))}"
    if len(line) > _MOST_LINE:
        raise Refused(f"the text has more than {_MOST_LINE >> 10} KiB; put it into a file of the project, and COPY it")
    return line


def _flag_of_run(needs: Needs, flag: str) -> Iterator[str]:
    """Yield the lines that stand for an option of ``RUN``."""
    name, _, value = flag.partition("=")
    if flag in ("--network=none", "--network=default", "--security=sandbox"):
        return
    if name != "--mount":
        raise Refused(f"RUN {quoted(flag[:60])} is not supported here; leave it out")
    parts = dict(one.partition("=")[::2] for one in value.split(","))
    mount = {_MOUNT_KEYS.get(key, key): one for key, one in parts.items()}
    kind = mount.get("type", "bind")
    if kind in ("cache", "tmpfs"):
        needs.warnings[f"RUN --mount=type={kind} is left out: builds here have no such mount"] = None
    elif kind in ("secret", "ssh"):
        if mount.get("required", "false").lower() not in ("false", "0"):  # a word alone means that it is
            raise needs_buildkit(f"RUN --mount=type={kind}", "Leave it out: a build has no secrets")
        needs.warnings[f"RUN --mount=type={kind} is left out: a build has no secrets"] = None
    elif kind == "bind":
        yield _bind(needs, mount)
    else:
        raise Refused(f"RUN {quoted(flag[:60])} is not supported here; leave it out")


def _bind(needs: Needs, mount: dict[str, str]) -> str:
    origin, source, target = mount.get("from", ""), mount.get("source", "."), mount.get("target", "")
    known = {"type", "from", "source", "target", "readonly", "readwrite"}
    if not mount.keys() <= known or not all(map(_PLAIN_PATH.fullmatch, (source, target))):
        raise needs_buildkit("RUN --mount=type=bind of this form", "COPY the files instead")
    if origin:
        need_image(needs, origin)
        source = posixpath.join("/", source)
    needs.warnings[f"RUN --mount=type=bind is done by COPY: the image keeps {source} at {target}"] = None
    return f"COPY {f'--from={origin} ' if origin else ''}{source} {target}"
