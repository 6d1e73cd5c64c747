"""``preview open``: open a generation's preview in the browser."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from preview.cli.client import generation_path, open_api
from preview.cli.exits import UsageMistake
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import print_json, show
from preview.core.quoting import quoted

app = typer.Typer(add_completion=False)


@app.command("open")
def open_(
    generation: GenerationArgument,
    path: Annotated[str, typer.Option("--path", metavar="PATH", help="Path to open, such as /docs.")] = "/",
    only_print: Annotated[bool, typer.Option("--print", help="Print the link without starting a browser.")] = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a generation's preview in the browser.

    The link works once and expires within minutes. The browser that used it keeps its access.

    Example: preview open GEN --path /docs
    """
    if not path.startswith("/") or path.startswith("//"):
        raise UsageMistake(f"{quoted(path)} is not a path; start it with one slash.")
    with open_api(url, ca) as api:
        made: dict[str, Any] = api.call(
            "POST", generation_path(generation, "/preview/open"), body={"path": path}
        ).json()
    if as_json:
        print_json(made)
        return
    show(made["url"])
    if not only_print:
        # On a machine without a browser (a server, a container), the link can be copied to another one.
        typer.launch(made["url"])
