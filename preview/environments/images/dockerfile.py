"""Read a Dockerfile, refuse what a build here may not do, and write it in one plain form for the engine.

The engine itself fetches what ``FROM``, ``COPY --from`` and ``ADD`` name, by its own network, whatever the build has.
So these are checked here, and the engine gets the checked form: one instruction a line, without comments and
continuations. Then both read the same file. Source: docs.docker.com/reference/dockerfile.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from preview.core.quoting import quoted
from preview.environments.images.context import EMPTY
from preview.errors import EnvironmentFailed

MOST_BYTES: Final = 128 * 1024
"""Bytes of a Dockerfile."""

_MOST_LINES: Final = 2000
_MOST_NAME: Final = 250
_INSTRUCTION: Final = re.compile(r"([A-Za-z]{1,20})(?:[ \t]|$)")
_VARIABLE: Final = re.compile(r"\$(?:([A-Za-z_]\w{0,100})|\{([A-Za-z_]\w{0,100})(?::?-([^}]{0,200}))?\})")
_STAGE: Final = re.compile(r"[a-z][a-z0-9._-]{0,100}")
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,250}")
_COPY_FLAG = re.compile(r"--(from|chown)=([A-Za-z0-9._:/@-]+)")
# In a list of words or of JSON.
_PLAIN_FOLDER: Final = re.compile(r"(?<![^\s\"\[])[/$][\w/.@${}-]{0,200}(?=[\s\",]|$)")
_MOST_VOLUMES: Final = 16
_HEREDOC: Final = re.compile(r"(?:^|[ \t\d])<<-?[\"']?[A-Za-z_]")
_ESCAPE: Final = re.compile(r"#[ \t]{0,20}escape[ \t]{0,20}=[ \t]{0,20}([\\`])[ \t]{0,20}")
_OTHER_DIRECTIVE: Final = re.compile(r"#[ \t]{0,20}[a-z]{1,20}[ \t]{0,20}=.{0,200}")
# The Engine API starts BuildKit, but it ignores the limits of memory, processor time and file size, refuses a network
# that is another container's, and lists no step that could be watched. Tried with Docker 20.10.24.
_NO_BUILDKIT: Final = "needs BuildKit, which is not used here: it cannot limit a build's memory and network"
_INSTEAD: Final = {
    "--mount=type=bind": "COPY the files instead",
    "--mount=type=secret": "Leave it out: a build has no secrets",
    "--mount=type=ssh": "Leave it out: a build has no secrets",
    "--chmod": "Set the permissions by RUN chmod in the next line",
    "--exclude": "Name the files in .dockerignore",
    "--parents": "Write one COPY for each folder",
}
_KNOWN: Final = frozenset(
    {"FROM", "RUN", "CMD", "LABEL", "MAINTAINER", "EXPOSE", "ENV", "ADD", "COPY", "ENTRYPOINT", "VOLUME", "USER",
     "WORKDIR", "ARG", "ONBUILD", "STOPSIGNAL", "HEALTHCHECK", "SHELL"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recipe:
    """A Dockerfile that was checked.

    Attributes:
        text: The checked form.
        images: Images that the build needs, each once.
        warnings: One sentence for each thing that was left out.
        runs: Whether a step of the build runs a program.
    """

    text: str
    images: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    runs: bool = False


@dataclass(slots=True)
class _Reading:
    """State of the reader: values of ``ARG`` before the first ``FROM``, stages, needed images, warnings.

    ``volumes`` has the volumes of each stage. A step that runs in a stage with volumes would write to folders of the
    engine that nothing measures, so they are declared last, where no step follows.
    """

    arguments: dict[str, str] = field(default_factory=dict)
    stages: list[str] = field(default_factory=list)
    images: dict[str, None] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)
    volumes: list[list[str]] = field(default_factory=list)
    runs: bool = False
    given: Mapping[str, str] = field(default_factory=dict)


class _Refused(Exception):
    """The sentence for the person."""


def _needs_buildkit(what: str, instead: str) -> _Refused:
    return _Refused(f"{what} {_NO_BUILDKIT}. {instead}")


def read_dockerfile(
    text: str,
    name: str,
    labels: Mapping[str, str],
    *,
    arguments: Mapping[str, str] = MappingProxyType({}),
    target: str = "",
    after: str = "",
) -> Recipe:
    """Check a Dockerfile.

    Args:
        text: Its content.
        name: Its name, for messages.
        labels: Labels for the images of all stages: by these the service finds what a failed build leaves.
        arguments: Values of ``ARG``, in place of its own.
        target: The last stage to build; empty for all.
        after: Instructions that follow the last stage.

    Raises:
        EnvironmentFailed: It is not valid, or asks for what a build here may not do.
    """
    reading, escape = _Reading(given=arguments), _escape(text)
    written: list[str] = [f"# escape={escape}"]
    for number, line in itertools.chain(_until(reading, target, _logical_lines(text, escape)), _added(after)):
        try:
            checked = _check(reading, line, escape)
        except _Refused as error:
            raise _failure(f"{name}, line {number}: {error}", name) from None
        written += [checked] if checked else []
        if checked.startswith("FROM "):
            written += [f'LABEL "{key}"="{value}"' for key, value in labels.items()]
        if len(written) > _MOST_LINES:
            raise _failure(f"{name} has more than {_MOST_LINES} instructions", name)
    if target and target.lower() not in reading.stages:
        raise _failure(f"{name} has no stage {quoted(target[:60])}", name)
    if not reading.stages:
        raise _failure(f"{name} has no FROM; begin it with the image to build on, such as FROM python:3.12-slim", name)
    written += [f"VOLUME {one}" for one in reading.volumes[-1]]
    return Recipe("\n".join(written) + "\n", tuple(reading.images), tuple(reading.warnings), reading.runs)


def _until(reading: _Reading, target: str, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the lines before the stage that follows the target's; all lines without a target."""
    for number, line in lines:
        if target and target.lower() in reading.stages and _INSTRUCTION.match(line) and line[:4].upper() == "FROM":
            return
        yield number, line


def _added(after: str) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(after.splitlines(), 1) if line)


def _failure(said: str, name: str) -> EnvironmentFailed:
    return EnvironmentFailed(f"{said}.", reason="dockerfile", path=name)


def _escape(text: str) -> str:
    """Return the escape character: directives stand at the very top only."""
    for line in text.splitlines()[:10]:
        if found := _ESCAPE.fullmatch(line.strip().lower()):
            return found[1]
        if not _OTHER_DIRECTIVE.fullmatch(line.strip().lower()):
            break
    return "\\"


def _logical_lines(text: str, escape: str) -> Iterator[tuple[int, str]]:
    """Yield the number of its first line, and each instruction as one line."""
    parts: list[str] = []
    first = 0
    for number, raw in enumerate(text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n"), 1):
        line = raw.rstrip(" \t")
        if not line.strip() or line.lstrip(" \t").startswith("#"):
            continue
        first = first if parts else number
        if line.endswith(escape) and not line.endswith(2 * escape):
            parts.append(line[:-1])
            continue
        yield first, "".join([*parts, line]).strip(" \t")
        parts = []
    if parts:
        yield first, "".join(parts).strip(" \t")


def _check(reading: _Reading, line: str, escape: str) -> str:
    """Return the instruction in its plain form; nothing for a label, because the service finds images by its own."""
    if any(not one.isprintable() and one != "\t" for one in line) or line.endswith(escape):
        raise _Refused("the instruction has a control character, or ends with an escape")
    found = _INSTRUCTION.match(line)
    word = found[1].upper() if found is not None else ""
    if found is None or word not in _KNOWN:
        raise _Refused(f"{quoted(line[:40])} is no instruction of a Dockerfile")
    rest = line[found.end() :].strip(" \t")
    if not reading.stages and word not in ("FROM", "ARG"):
        raise _Refused(f"{word} comes before the first FROM")
    if word == "FROM":
        return _from(reading, rest)
    if word in ("LABEL", "MAINTAINER"):
        return ""
    if word == "ARG" and not reading.stages:
        name, _, value = rest.partition("=")
        name = name.strip()
        reading.arguments[name] = reading.given.get(name) or _filled(reading, value.strip("\"'"))
    elif word == "ONBUILD":
        raise _Refused("ONBUILD is not supported; write the instruction where it is to happen")
    elif word in ("COPY", "ADD"):
        # The engine would fetch an address that ADD names, however it is written, and unpack archives without a limit.
        rest = _copied(reading, word, rest)
        word = "COPY"
    elif word == "RUN":
        rest = _run(reading, rest)
        reading.runs = True
    made = f"{word} {rest}".rstrip()
    if made.endswith(("\\", "`")):
        raise _Refused("the instruction ends with an escape")
    if word == "VOLUME":
        reading.volumes[-1].append(rest)
        # Later steps find the folder, as they would with the volume.
        return "\n".join(f"COPY {EMPTY} {one}/" for one in _PLAIN_FOLDER.findall(rest)[:_MOST_VOLUMES])
    return made


def _from(reading: _Reading, rest: str) -> str:
    words = [one for one in rest.split() if not one.startswith("--")]
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
        raise _Refused("write FROM image, or FROM image AS name")
    image, stage = _filled(reading, words[0]), words[2].lower() if len(words) == 3 else ""
    if stage and not _STAGE.fullmatch(stage):
        raise _Refused(f"{quoted(stage)} is no name of a stage")
    inherited: list[str] = []
    if image.lower() in reading.stages:
        image = image.lower()
        # Of two stages with one name the engine takes the last.
        inherited = next(list(had) for name, had in reversed(_named_volumes(reading)) if name == image)
    elif image != "scratch":
        _need(reading, image)
    reading.stages.append(stage or " ")
    reading.volumes.append(inherited)
    return f"FROM {image}{f' AS {stage}' if stage else ''}"


def _named_volumes(reading: _Reading) -> list[tuple[str, list[str]]]:
    return list(zip(reading.stages, reading.volumes, strict=True))


def _need(reading: _Reading, image: str) -> None:
    if not _IMAGE.fullmatch(image):
        raise _Refused(f"{quoted(image)} is no name of an image")
    reading.images[image] = None


def _filled(reading: _Reading, text: str) -> str:
    def value(found: re.Match[str]) -> str:
        return (reading.arguments.get(found[1] or found[2]) or found[3] or "")[:_MOST_NAME]

    return _VARIABLE.sub(value, text)


def _flags(rest: str) -> tuple[list[str], str]:
    """Return the options before the arguments, and the arguments."""
    flags = []
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        flags.append(flag)
        rest = rest.lstrip(" \t")
    return flags, rest


def _copied(reading: _Reading, word: str, rest: str) -> str:
    flags, rest = _flags(rest.replace("\t", " "))
    if _HEREDOC.search(rest):
        what = f"{word} with text in the Dockerfile (<<EOF)"
        raise _needs_buildkit(what, "Put the text into a file of the project, and COPY it")
    kept = [one for one in flags if one != "--link"]
    for flag in kept:
        name = flag.partition("=")[0]
        if name in _INSTEAD:
            raise _needs_buildkit(f"{word} {name}", _INSTEAD[name])
        found = _COPY_FLAG.fullmatch(flag)
        if found is None:
            raise _Refused(f"write {quoted(flag)} as --from=NAME or --chown=USER:GROUP, without quotes and variables")
        value = found[2]
        # The current stage is none yet: the engine would look for an image of its name.
        is_stage = value.isdecimal() or value.lower() in reading.stages[:-1]
        if found[1] == "from" and not is_stage:
            _need(reading, value)
    if re.match(r"[^\s\[]*(?:://|git@)", rest):
        raise _Refused("ADD may not fetch an address; put the file into the project, and COPY it")
    return " ".join([*kept, rest])


def _run(reading: _Reading, rest: str) -> str:
    flags, rest = _flags(rest)
    if _HEREDOC.search(rest):
        what = "RUN with text in the Dockerfile (<<EOF)"
        raise _needs_buildkit(what, "Put the text into a script of the project, COPY it, and RUN it")
    for flag in flags:
        name, _, value = flag.partition("=")
        kinds = [one for one in value.split(",") if one.startswith("type=")]
        if name == "--mount" and kinds in (["type=cache"], ["type=tmpfs"]):
            reading.warnings[f"RUN --mount={kinds[0]} is left out: builds here have no such mount"] = None
        elif name == "--mount" and (mount := f"--mount={kinds[0] if kinds else 'type=bind'}") in _INSTEAD:
            raise _needs_buildkit(f"RUN {mount}", _INSTEAD[mount])
        elif flag not in ("--network=none", "--network=default"):
            raise _Refused(f"RUN {quoted(flag[:60])} is not supported by builds here")
    return rest
