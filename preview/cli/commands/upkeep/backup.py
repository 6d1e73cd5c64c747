"""``preview backup``: save the service's data in one file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from preview.cli.options import JsonOption
from preview.cli.terminal import print_json, progress, say, show
from preview.core.env_file import find_env_file
from preview.settings import load_settings

app = typer.Typer(add_completion=False)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, such as preview-2026-11-26.zip.")],
    as_json: JsonOption = False,
) -> None:
    """Save the service's database, keys, unsaved log lines and data snapshots in one new file.

    The service can keep running. The file has the service's secrets: keep it as safe as the data folder.

    Example: preview backup preview-$(date +%F).zip
    """
    # Imported here: `preview backup --help` needs no database.
    from preview.cli.backup.contents import save  # noqa: PLC0415

    settings, started = load_settings(find_env_file()), time.monotonic()
    with progress("saving…") as shown:
        manifest = save(settings, file, shown)
    size, elapsed = file.stat().st_size, time.monotonic() - started
    if as_json:
        print_json(
            {
                "file": str(file),
                "size_bytes": size,
                "content_bytes": manifest.size_bytes,
                "files": len(manifest.files),
                "database": manifest.database,
                "revision": manifest.revision,
                "created_at": manifest.created_at,
                "elapsed_s": round(elapsed, 3),
            }
        )
        return
    show(f"{file}  {size / 1024**2:.1f} MiB, {manifest.database} at revision {manifest.revision}, {elapsed:.1f} s")
    if settings.archive is not None:
        say(f"preview: the backup has no archived logs; save {settings.archive} too")
    say("preview: the file has the service's secrets: keep it as safe as the data folder")
