"""``preview comments``: what people have written about a preview."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from preview.cli.client import Api, generation_path, open_api
from preview.cli.exits import UsageMistake
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import print_json, say, show
from preview.core.quoting import quoted, visible

app = typer.Typer(add_completion=False)

_KINDS = ("line", "request", "failure")
# Pages of 200: more than a preview can have.
_MOST_PAGES = 10


@app.command()
def comments(
    generation: GenerationArgument,
    add: Annotated[str | None, typer.Option("--add", metavar="TEXT", help="Write this comment.")] = None,
    on: Annotated[
        str | None, typer.Option("--on", metavar="KIND:ID", help="Its target: line:17, request:3 or failure:ID.")
    ] = None,
    resolve: Annotated[str | None, typer.Option("--resolve", metavar="ID", help="Mark a comment as resolved.")] = None,
    delete: Annotated[str | None, typer.Option("--delete", metavar="ID", help="Delete a comment.")] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the comments on a preview, oldest first, or write one.

    Example: preview comments gen_9xg7kd3hh2c4m5tq --add "The pool is empty here" --on line:17
    """
    if sum(one is not None for one in (add, resolve, delete)) > 1 or (add is None) is not (on is None):
        raise UsageMistake("Use --add with --on, or --resolve, or --delete.")
    path = generation_path(generation, "/preview/comments")
    with open_api(url, ca) as api:
        if delete is not None:
            api.call("DELETE", f"{path}/{quote(delete, safe='')}")
            show(f"{visible(delete)} is deleted")
            return
        if add is not None:
            body = {"target": _target(on or ""), "text": add}
            changed: Any = api.call("POST", path, body=body).json()
        elif resolve is not None:
            changed = api.call("PUT", f"{path}/{quote(resolve, safe='')}", body={"resolved": True}).json()
        else:
            found = _all(api, path)
            if as_json:
                print_json({"items": found, "next": None})
            elif not found:
                say("No comments yet.")
            for one in [] if as_json else found:
                _print(one)
            return
    print_json(changed) if as_json else _print(changed)


def _all(api: Api, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 200}
    for _ in range(_MOST_PAGES):
        page = api.get_json(path, params=params)
        found += page["items"]
        if page["next"] is None:
            break
        params = {"limit": 200, "preview_id": page["preview_id"], "cursor": page["next"]}
    return found[::-1]


def _target(text: str) -> dict[str, str]:
    kind, _, number = text.partition(":")
    if kind not in _KINDS or not number:
        raise UsageMistake(f"{quoted(text)} is not a target; write line:17, request:3 or failure:ID.")
    return {"kind": kind, "id": number}


def _print(one: dict[str, Any]) -> None:
    target, done = one["target"], "  (resolved)" if one["resolved"] else ""
    show(f"{one['id']}  {target['kind']} {target['id']}  {visible(one['author'])}  {one['created_at']}{done}")
    for line in one["text"].split("\n"):
        show(f"    {visible(line)}")
