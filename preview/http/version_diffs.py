"""Difference between two versions: which files differ, and the text of those small enough to compare."""

from __future__ import annotations

from collections.abc import Mapping

from preview.errors import AnalysisFailed, TooComplex
from preview.generations import GenerationVersions, VersionFile
from preview.worker import FileDifference, FilePair, ProjectReader
from preview.worker.differences import MOST_FILE_BYTES, MOST_FILES, MOST_TOTAL_BYTES, TOO_LARGE, TOO_MANY

_TOO_HARD = "Comparing this takes too long; download both versions to compare them."


async def difference_of(
    versions: GenerationVersions, reader: ProjectReader, generation_id: str, before: int, after: int
) -> list[FileDifference]:
    """Return the files that differ between two versions, ordered by path.

    Contents are compared in a worker process, with limits of time and memory.

    Args:
        versions: The versions.
        reader: Compares contents.
        generation_id: The generation's id.
        before: The older side; 0: no files.
        after: The newer side; 0: no files.

    Raises:
        VersionNotFound: A version does not exist, or was removed.

    Cancellation: nothing changes.
    """
    old = {one.path: one for one in await versions.files(generation_id, before)} if before else {}
    new = {one.path: one for one in await versions.files(generation_id, after)} if after else {}
    paths = sorted(path for path in {*old, *new} if not _is_same(old.get(path), new.get(path)))
    chosen, reasons = _choose(paths, old, new)
    old_contents = await versions.read(generation_id, before, [path for path in chosen if path in old])
    new_contents = await versions.read(generation_id, after, [path for path in chosen if path in new])
    pairs = [FilePair(path, old_contents.get(path), new_contents.get(path)) for path in chosen]
    texts: dict[str, tuple[str | None, str | None]] = {}
    if pairs:
        try:
            texts = dict(zip(chosen, await reader.compare(pairs), strict=True))
        except (TooComplex, AnalysisFailed):
            texts = dict.fromkeys(chosen, (None, _TOO_HARD))
    return [_difference(path, old, new, texts.get(path, (None, reasons.get(path)))) for path in paths]


def _is_same(one: VersionFile | None, other: VersionFile | None) -> bool:
    return one is not None and other is not None and one.sha256 == other.sha256


def _choose(
    paths: list[str], old: Mapping[str, VersionFile], new: Mapping[str, VersionFile]
) -> tuple[list[str], dict[str, str]]:
    """Return the paths to compare, within the limits, and for the others the reason why not."""
    chosen: list[str] = []
    reasons: dict[str, str] = {}
    total = 0
    for path in paths:
        sizes = [side[path].size_bytes for side in (old, new) if path in side]
        if max(sizes) > MOST_FILE_BYTES:
            reasons[path] = TOO_LARGE
        elif len(chosen) == MOST_FILES or total + sum(sizes) > MOST_TOTAL_BYTES:
            reasons[path] = TOO_MANY
        else:
            chosen.append(path)
            total += sum(sizes)
    return chosen, reasons


def _difference(
    path: str,
    old: Mapping[str, VersionFile],
    new: Mapping[str, VersionFile],
    text: tuple[str | None, str | None],
) -> FileDifference:
    before, after = old.get(path), new.get(path)
    return FileDifference(
        path,
        "added" if before is None else "removed" if after is None else "changed",
        None if before is None else before.size_bytes,
        None if after is None else after.size_bytes,
        *text,
    )
