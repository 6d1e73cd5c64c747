"""``preview pull``: write a generation's files into a folder."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from preview.cli.client import generation_path, open_api
from preview.cli.exits import CommandFailed, UsageMistake
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import counted, print_json, progress, show
from preview.core.quoting import visible
from preview.generations import GenerationLimits, unpack_tar_gz
from preview.generations.files import TreeWriter

app = typer.Typer(add_completion=False)

_TIMEOUT_S = 600.0
_SHOWN_PATHS = 3


@app.command()
def pull(
    generation: GenerationArgument,
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The folder. Default: one here, named after the generation.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Overwrite files that differ.")] = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a generation's files into a folder.

    Without --yes, nothing is written if a file in the folder differs. Files that only the folder has are kept.

    Example: preview pull gen_abc shop
    """
    path = generation_path(generation, "/archive")
    folder = Path(generation) if directory is None else directory.expanduser()
    if folder.exists() and not folder.is_dir():
        raise UsageMistake(f"{folder} is a file; name a folder.")
    with open_api(url, ca) as api:
        limits = GenerationLimits.of(api.target.settings)
        with progress("downloading…"):
            packed = api.call("GET", path, params={"format": "tar.gz"}, timeout_s=_TIMEOUT_S).content
    files = unpack_tar_gz(io.BytesIO(packed), limits)
    written = _differing(folder, files)
    replaced = [one for one in written if _exists(folder / one)]
    if replaced and not yes:
        raise CommandFailed(
            f"{counted(len(replaced), 'file')} in {folder} would be overwritten ({_named(replaced)}), "
            "so nothing was written; add --yes to overwrite, or name another folder."
        )
    _write(folder, {one: files[one] for one in written}, replaced, limits)
    if as_json:
        print_json({"directory": str(folder), "written": written, "unchanged": len(files) - len(written)})
        return
    unchanged = f", {len(files) - len(written)} unchanged" if len(files) > len(written) else ""
    show(f"{counted(len(written), 'file')} written to {visible(str(folder))}{unchanged}")


def _differing(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """Return the paths whose file in the folder is missing or has another content.

    Raises:
        CommandFailed: The folder has something else at such a path.
    """
    found = []
    for path, content in sorted(files.items()):
        target = folder / path
        inside = [target, *(target.parents[at] for at in range(path.count("/")))]
        link = next((one for one in inside if one.is_symlink()), None)
        if link is not None:
            raise CommandFailed(f"{link} is a link, and is not followed; remove it, or name another folder.")
        blocking = next((one for one in inside[1:] if _exists(one) and not one.is_dir()), None)
        if blocking is not None:
            raise CommandFailed(f"{blocking} is a file, where {path} needs a folder; name another folder.")
        if target.is_dir():
            raise CommandFailed(f"{target} is a folder, where a file is to be written; name another folder.")
        if not target.is_file() or target.stat().st_size != len(content) or target.read_bytes() != content:
            found.append(path)
    return found


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _write(folder: Path, files: Mapping[str, bytes], replaced: list[str], limits: GenerationLimits) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TreeWriter(folder, limits) as writer:
            for path, content in files.items():
                if path in replaced:
                    (folder / path).unlink()
                writer.write(path, content)
    except OSError as error:
        raise CommandFailed(f"{folder} cannot be written: {error.strerror or error}.") from error


def _named(paths: list[str]) -> str:
    more = f" and {len(paths) - _SHOWN_PATHS} more" if len(paths) > _SHOWN_PATHS else ""
    return ", ".join(map(visible, paths[:_SHOWN_PATHS])) + more
