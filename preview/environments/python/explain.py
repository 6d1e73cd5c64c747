"""Explanation of uv's errors in one sentence that names the requirement, and memory of recent failures."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog
import trio
from packaging.utils import canonicalize_name

from preview.core.bounded_dict import BoundedDict
from preview.core.descriptors import raise_want
from preview.environments.folders.layout import Layout
from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet
from preview.errors import EnvironmentFailed

_NETWORK = re.compile(
    r"error sending request|Request failed after|Could not connect|tcp connect error|dns error"
    r"|failed to lookup address|Network is unreachable|operation timed out|connection (?:refused|reset)",
    re.IGNORECASE,
)
_DISK = re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE)
_OFFLINE = re.compile(r"network (?:was|is) disabled|no network connectivity|offline", re.IGNORECASE)


# uv refuses to build a package because of --no-build.
_DENIED = re.compile(
    r"Building source distributions for `(?P<one>[A-Za-z0-9._-]+)` is disabled"
    r"|Building source distributions is disabled, but attempted to build `(?P<two>[A-Za-z0-9._-]+)`"
    r"|Wheels are required for `(?P<three>[A-Za-z0-9._-]+)` because building from source is disabled"
)
_BECAUSE = re.compile(r"Because (?:only )?(?P<name>[A-Za-z0-9._-]+)")
_FAILED_PACKAGE = re.compile(r"Failed to (?:download|build|fetch)[: ]+`?(?P<name>[A-Za-z0-9._-]+)(?:==| @ |`)")
_ENDLESS = re.compile(r"\S{2000,}")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Explanation:
    """Explanation of a failed build.

    Attributes:
        message: One sentence for a person.
        reason: ``not_found``, ``no_version``, ``conflict``, ``build``, ``hash``, ``download``, ``network``, ``disk``,
            ``offline``, ``denied``, ``host`` (builds may not reach the host), ``python`` or ``other``.
        requirement: The line at fault as the project writes it, or the package's name; None if unknown.
        origin: Where the project names the requirement; None if unknown.
        package: The package's normalised name; None if unknown.
    """

    message: str
    reason: str
    requirement: str | None = None
    origin: str | None = None
    package: str | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    """Pattern of one of uv's errors; group ``name`` is the package."""

    pattern: re.Pattern[str]
    reason: str
    sentence: Callable[[re.Match[str], str, str], str]


def _python(match: re.Match[str], what: str, _text: str) -> str:
    return f"{what} needs Python {match['python']}; choose a version that supports the Python of previews"


def _build(_match: re.Match[str], what: str, text: str) -> str:
    last = _last_words(text)
    because = f" ({last})" if last else ""
    return f"{what} could not be built{because}; choose a version that has a wheel for this Python"


_CASES = (
    _Case(
        re.compile(r"Hash mismatch for `(?P<name>[A-Za-z0-9._-]+)"),
        "hash",
        lambda _match, what, _text: f"{what} does not have the hash that is written down; correct the hash",
    ),
    _Case(re.compile(r"Failed to (?:download and )?build `(?P<name>[A-Za-z0-9._-]+)"), "build", _build),
    _Case(re.compile(r"(?P<name>)The build backend returned an error"), "build", _build),
    _Case(
        re.compile(
            r"(?<![A-Za-z0-9._-])(?P<name>[A-Za-z0-9._-]+) was not found in the (?:package registry|cache|provided)"
        ),
        "not_found",
        lambda _match, what, _text: f"{what} was not found in the package index; check the spelling",
    ),
    _Case(
        re.compile(
            r"(?<![^\s(])(?P<name>[A-Za-z0-9._-]{1,200})\S{0,200} depends on Python(?P<python>[<>=!~]\S{0,200}[^\s,.])"
        ),
        "python",
        _python,
    ),
    _Case(
        re.compile(
            r"(?:there (?:is|are) no versions? of|[Oo]nly(?: the following versions of)?) (?P<name>[A-Za-z0-9._-]+)"
        ),
        "no_version",
        lambda _match, what, _text: f"No version matches {what}; choose one that exists",
    ),
    _Case(
        re.compile(
            r"(?<![^\s(])(?P<name>[A-Za-z0-9._-]{1,200})\S{0,200} has no (?:usable )?wheels?(?: with a matching)?"
        ),
        "no_version",
        lambda _match, what, _text: f"{what} has no wheel for this Python and platform; choose another version",
    ),
    _Case(re.compile(r"error: Failed to [a-z ]+`(?P<name>[A-Za-z0-9._-]+)==[^`]*`"), "build", _build),
    _Case(
        re.compile(r"(?:D|d)istribution not found at: (?P<name>\S*)"),
        "not_found",
        lambda _match, what, _text: f"{what} does not exist; correct the address",
    ),
)


def explain(
    lines: Sequence[str],
    required: RequirementSet,
    *,
    offline: bool,
    runs_code: bool = True,
    refused: Sequence[str] = (),
) -> Explanation:
    """Explain a failure from the installer's output."""
    why = with_refused(_explain(lines, required, offline=offline, runs_code=runs_code), refused)
    return replace(why, message=without_paths(why.message))


def with_refused(why: Explanation, refused: Sequence[str]) -> Explanation:
    """Mention the refused host if it is, or may be, the cause."""
    if not refused or why.reason not in {"network", "download", "build", "other"}:
        return why
    sentence = f"{refused[0]}; the service's operator can add it to PREVIEW_BUILD_HOSTS"
    if why.reason == "build":
        return replace(why, message=f"{why.message}. It asked for the network: {sentence}")
    what = f"{why.requirement} ({why.origin}): " if why.requirement and why.origin else ""
    return replace(why, message=f"{what}{sentence}", reason="host")


def _explain(lines: Sequence[str], required: RequirementSet, *, offline: bool, runs_code: bool) -> Explanation:
    # Shorten longer words, which no name needs: the patterns below take quadratic time in a word's length.
    text = _ENDLESS.sub("…", "\n".join(lines))
    if _DISK.search(text):
        return Explanation("The disk is full: free some space on the service's machine and launch again", "disk")
    if offline and _OFFLINE.search(text):
        return _offline(text, required)
    if _NETWORK.search(text):
        return _network(text, required)
    if not runs_code and (match := _DENIED.search(text)):
        return _denied(next(name for name in match.groups() if name is not None), required)
    for case in _CASES:
        if match := case.pattern.search(text):
            found = required.find(match["name"]) if match["name"] else _folder_in(text, required)
            sentence = case.sentence(match, _name(found, match["name"]), text)
            return _explanation(sentence, case.reason, found, match["name"])
    return _conflict(text) or Explanation(
        f"The environment could not be built: {_error_line(lines)}; the lines above say more", "other"
    )


def _name(found: ProjectRequirement | None, name: str) -> str:
    if found is None:
        return name or "A requirement"
    if found.text.startswith("/"):  # hide the service's folders: show the last part only
        return f"{found.text.rpartition('/')[2]} ({found.origin})"
    return f"{found.text} ({found.origin})"


def _folder_in(text: str, required: RequirementSet) -> ProjectRequirement | None:
    """Return the local folder that the message is about: installers name only its path, if anything."""
    folders = [item for item in required.requirements if item.name is None]
    spoken_of = [item for item in folders if item.location is not None and item.location in text]
    return next(iter(spoken_of), folders[0] if len(folders) == 1 else None)


def _explanation(sentence: str, reason: str, found: ProjectRequirement | None, name: str) -> Explanation:
    package = (found.name if found else None) or (canonicalize_name(name) if _PLAIN.fullmatch(name) else None)
    return Explanation(
        sentence, reason, found.text if found else name or None, found.origin if found else None, package
    )


def _spoken_of(pattern: re.Pattern[str], text: str, required: RequirementSet) -> tuple[str, ProjectRequirement | None]:
    match = pattern.search(text)
    return (match["name"], required.find(match["name"])) if match else ("", None)


def _offline(text: str, required: RequirementSet) -> Explanation:
    name, found = _spoken_of(_BECAUSE, text, required)
    return _explanation(
        f"{_name(found, name)} is not in the package cache and the service works offline (PREVIEW_UV_OFFLINE); "
        "install it once with the network",
        "offline",
        found,
        name,
    )


def _network(text: str, required: RequirementSet) -> Explanation:
    name, found = _spoken_of(_FAILED_PACKAGE, text, required)
    sentence = (
        f"{_name(found, name)} could not be downloaded, the network does not answer"
        if name
        else "The package index cannot be reached, and the package cache does not hold all that is required"
    )
    return _explanation(f"{sentence}; check the network and launch again", "network", found, name)


def _denied(name: str, required: RequirementSet) -> Explanation:
    found = required.find(name) or next(
        (item for item in required.requirements if item.name is None and item.text.endswith(f"/{name}")), None
    )
    what, advice = _name(found, name), "choose a version that has a wheel for this Python"
    if found is not None and (found.name is None or "file:" in found.text):
        # The path would not help a reader.
        what, advice = f"{name} ({found.origin})", "leave it out of the requirements"
    sentence = (
        f"{what} would have to be built, which runs its code, and PREVIEW_BUILD_CODE=deny does not allow that; "
        f"{advice}, or have the service set to PREVIEW_BUILD_CODE=allow"
    )
    return _explanation(sentence, "denied", found, name)


def _conflict(text: str) -> Explanation | None:
    flat = " ".join(text.split())
    match = re.search(r"cause: (?:Because )?(?P<why>.*?)(?:,? we can conclude|$)", flat)
    if "No solution found" not in flat or match is None:
        return None
    why = match["why"].removesuffix(",").strip()[:400]
    return Explanation(f"The requirements contradict each other: {why}; loosen one of them", "conflict")


def _error_line(lines: Sequence[str]) -> str:
    said = [line.removeprefix("error:").strip() for line in lines if line.startswith("error:")]
    last = next((line.strip() for line in reversed(lines) if line.strip()), "uv said nothing")
    return (said[0] if said else last)[:400].rstrip(".:;")


# Signs of what a build lacks, the most telling first. The names go into a sentence, so they are short and plain.
_LACKS: Final = (
    (re.compile(r"fatal error: (?P<name>[\w./+-]{1,80}): No such file or directory"), "the header {name} is missing"),
    (re.compile(r"cannot find -l(?P<name>[\w.+-]{1,80})"), "the library {name} is missing"),
    (
        re.compile(
            r"(?P<name>\b(?:[a-z]\w{0,40}[_-]config|cmake|cargo|rustc|meson|ninja|swig))\b.{0,40}not found",
            re.IGNORECASE,
        ),
        "the program {name} is missing",
    ),
    (re.compile(r"can't find Rust compiler", re.IGNORECASE), "a Rust compiler is missing"),
    (
        re.compile(r"command '(?:[\w./-]*/)?(?P<name>[\w.+-]{1,80})' failed: No such file or directory"),
        "the program {name} is missing",
    ),
    (re.compile(r"^\s*(?:[\w./-]+:\d+:\d+: )error: ", re.MULTILINE), "its C code does not compile here"),
    (re.compile(r"command '(?:[\w./-]*/)?(?P<name>[\w.+-]{1,80})' failed with exit"), "the program {name} failed"),
)
_RAISED: Final = re.compile(
    r"(?P<kind>(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w{0,80}(?:Error|Exception|Exit))(?:: (?P<said>.*))?"
)
# Parts of commands, paths and data, which mean nothing to a reader.
_UNREADABLE: Final = re.compile(r"[/\\\[\]{}<>|`$]|\bCommand\b|(?:^|\s)-\w")
_SHOWN: Final = 160


def _last_words(text: str) -> str:
    """Return why a build failed, in words; empty if the output has no plain reason."""
    block = text.partition("[stderr]")[2] or text
    for pattern, sentence in _LACKS:
        if match := pattern.search(block):
            return sentence.format(**match.groupdict())
    lines = [line.strip() for line in block.splitlines() if line.strip() and not line.lstrip().startswith("hint:")]
    match = _RAISED.fullmatch(lines[-1]) if lines else None
    if match is None:
        return ""
    said = (match["said"] or "").rstrip(".;")
    kind = match["kind"].rpartition(".")[2]
    return kind if not said or len(said) > _SHOWN or _UNREADABLE.search(said) else f"{kind}: {said}"


# An absolute path, not in a URL: only its last part is shown.
_ABSOLUTE: Final = re.compile(r"(?<![\w:/.~@-])(?:file://)?/(?:[^\s/'\"`(),]+/)+(?P<last>[^\s/'\"`(),:]*)")


def without_paths(sentence: str) -> str:
    """Return the sentence with absolute paths shortened to their last part: they are the service's own."""
    return _ABSOLUTE.sub(lambda match: match["last"], sentence)


_log = structlog.get_logger(__name__)

PYTHON: Final = "python"
"""``reason`` of an error whose message is an objection to the Python version."""
# Reasons that depend on the packages and persist; other failures may be gone after a minute.
_LASTING: Final = frozenset({PYTHON, "denied", "no_version", "conflict", "hash"})
_PASSES_S: Final = 60.0
# Reasons that apply to every Python.
_FINAL: Final = frozenset({"disk", "timeout"})
_MOST_PASSING: Final = 256
# Maximum size of a refusal file. Only the service writes it, but its content is checked anyway.
_MOST_BYTES: Final = 1024
_WORDS: Final = {
    "build": "has no wheel for it",
    "denied": "has no wheel for it",
    "hash": "has no wheel with the hash that is written down for it",
    "network": "could not be fetched for it",
    "download": "could not be fetched for it",
    "offline": "or what it needs is not in the package cache for it",
}


def is_final(error: EnvironmentFailed) -> bool:
    """Return whether the build would fail with every Python."""
    return error.details.get("reason") in _FINAL


class Refusals:
    """Recent failures with a newer Python, by the environment's key.

    Args:
        layout: Lasting failures are stored next to its environments, for other processes too.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        # Temporary failures: until when (trio's clock), and the reason.
        self._passing: BoundedDict[str, tuple[float, str]] = BoundedDict(_MOST_PASSING)

    def why(self, key: str) -> str | None:
        """Return why this environment cannot be built; None if not tried, or if the failure has expired.

        Raises:
            OSError: No file descriptor is free.
        """
        until, why = self._passing.get(key, (0.0, ""))
        if trio.current_time() < until:
            return why
        try:
            return _read(self._layout.refusal(key))
        except OSError as error:
            raise_want(error)
            return None

    def note(self, key: str, error: EnvironmentFailed) -> bool:
        """Remember that the build failed; return False, and remember nothing, if every Python would fail.

        ``why`` returns the reason from now on, for at least a minute.
        """
        if is_final(error):
            return False
        reason = str(error.details.get("reason"))
        why = _why(reason, error)[:_MOST_BYTES]
        if reason in _LASTING:
            self._write(key, why)
        self._passing[key] = (trio.current_time() + _PASSES_S, why)
        return True

    def _write(self, key: str, why: str) -> None:
        place = self._layout.refusal(key)
        new = place.with_name(f".refused-{secrets.token_hex(8)}")
        try:
            new.write_text(why, "utf-8")
            new.rename(place)
        except OSError as error:
            new.unlink(missing_ok=True)
            _log.warning("refusal not written", key=key, why=str(error))


def _read(path: Path) -> str | None:
    """Read the stored reason as one line; None if the file has unprintable content or none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.read(descriptor, _MOST_BYTES)
    finally:
        os.close(descriptor)
    line = " ".join(found.decode("utf-8", "replace").split())
    return line if line.isprintable() and line else None


def _why(reason: str, error: EnvironmentFailed) -> str:
    if reason in {PYTHON, "slow"}:
        return error.message
    if reason == "conflict":
        return "what it requires contradicts itself as it is written"
    named, origin = error.details.get("requirement"), error.details.get("origin")
    what = f"{named} ({origin})" if named and origin else str(named or "something that it requires")
    return f"{what} {_WORDS.get(reason, 'cannot be had for it')}"
