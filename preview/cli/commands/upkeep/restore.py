"""``preview restore``: fill an empty data folder and database from a backup."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preview.cli.data_folder import hold_data_folder
from preview.cli.exits import ExitCode, UsageMistake
from preview.cli.options import JsonOption, YesOption
from preview.cli.terminal import print_json, progress, say
from preview.core.env_file import find_env_file
from preview.settings import Settings, load_settings

if TYPE_CHECKING:
    from preview.cli.backup.archive import Manifest

app = typer.Typer(add_completion=False)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file from `preview backup`.")],
    check: Annotated[bool, typer.Option("--check", help="Only check the file, and show what it contains.")] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into an empty data folder, and an empty database.

    Shows what it will do, and asks. Existing files are never overwritten. An older backup is upgraded. Previews that
    ran during the backup are restored as ended, with their lines and data snapshots.

    Example: preview restore preview-2026-11-26.zip
    """
    from preview.cli.backup import contents  # noqa: PLC0415  `preview restore --help` needs no database

    settings = load_settings(find_env_file())
    with contents.open_backup(file) as archive:
        if check:
            with progress("checking…"):
                contents.check(archive, file.absolute().parent)
            _print(file, archive.manifest, settings, as_json=as_json, done=False)
            return
        contents.check_target(settings, archive.manifest)
        if not yes:
            _ask(file, archive.manifest, settings)
        with hold_data_folder(settings.data_dir), progress("restoring…") as shown:
            contents.load(archive, settings, shown)
        _print(file, archive.manifest, settings, as_json=as_json, done=True)


def _ask(file: Path, manifest: Manifest, settings: Settings) -> None:
    """Show what a restore does, and ask for it.

    Raises:
        UsageMistake: There is no terminal to ask at.
    """
    say(f"preview: {file}: {_content(manifest)}")
    say(f"preview: this fills the data folder {settings.data_dir}, {_database(settings)}")
    if not sys.stdin.isatty():
        raise UsageMistake("Cannot ask without a terminal; run it again with --yes to restore.")
    if not typer.confirm("Restore?", err=True):
        raise typer.Exit(ExitCode.FAILED)


def _content(manifest: Manifest) -> str:
    return (
        f"saved {manifest.created_at} by preview {manifest.preview} from {manifest.database} at revision "
        f"{manifest.revision}; {manifest.size_bytes / 1024**2:.1f} MiB, "
        f"{manifest.count('snapshots')} files of data snapshots"
    )


def _database(settings: Settings) -> str:
    # The URL may have a password.
    return "and the database of PREVIEW_DATABASE_URL" if settings.database_url is not None else "with an SQLite file"


def _print(file: Path, manifest: Manifest, settings: Settings, *, as_json: bool, done: bool) -> None:
    if as_json:
        about = manifest.model_dump(exclude={"files", "format"})
        about |= {"files": len(manifest.files), "content_bytes": manifest.size_bytes}
        print_json({**about, "restored": done, "data_dir": str(settings.data_dir) if done else None})
        return
    print(f"{file}: {'restored' if done else 'complete'}; {_content(manifest)}")
    if done:
        say(f"preview: start the service on {settings.data_dir} with `preview serve`")
