"""``preview reset``: set a running preview's data back."""

from __future__ import annotations

import typer

from preview.cli.client import generation_path, open_api
from preview.cli.commands.data.showing import ask
from preview.cli.commands.data.snapshot import replace_data
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption, YesOption

app = typer.Typer(add_completion=False)


@app.command()
def reset(
    generation: GenerationArgument,
    yes: YesOption = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reset a running preview's data to that of a fresh launch.

    The preview has the uploaded files and empty databases again, and all setup steps are run. The old data is
    kept as a snapshot.

    Example: preview reset GEN
    """
    ask(f"Remove what {generation}'s preview has stored, and restart it?", is_agreed=yes)
    with open_api(url, ca) as api:
        replace_data(api, generation, generation_path(generation, "/preview/data/reset"), "reset", as_json=as_json)
