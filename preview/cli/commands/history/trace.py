"""``preview trace``: where the time of a preview's requests went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from preview.cli.client import Api, generation_path, open_api
from preview.cli.exits import CommandFailed
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import counted, listing, print_json, say, show, table_console
from preview.core.quoting import clipped, quoted, visible

app = typer.Typer(add_completion=False)

_DETAIL = 100
# Spans of the same name in a row that are shown; the others become one line.
_SAME = 3
_DEEPEST = 20
_TRACE_DIGITS = 32

_Spans = Sequence[Mapping[str, Any]]


@app.command()
def trace(
    generation: GenerationArgument,
    which: Annotated[
        str | None, typer.Argument(metavar="ID", help="Show this trace: its N, its id, or the id of its request.")
    ] = None,
    contains: Annotated[
        str | None, typer.Option("--contains", metavar="TEXT", help="Only requests whose name contains this.")
    ] = None,
    slow: Annotated[
        float | None, typer.Option("--slow", metavar="MS", min=0, help="Only requests that took at least this long.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only requests with an error.")] = False,
    hinted: Annotated[bool, typer.Option("--hinted", help="Only requests with a hint.")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=200, help="Maximum number of traces.")] = 20,
    whole: Annotated[bool, typer.Option("--all", help="Show every span, including repeated statements.")] = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where requests spend their time: SQL statements, outgoing requests, caches; and why they are slow.

    Example: preview trace gen_abc --slow 100. Turn tracing on with: preview env start gen_abc --trace
    """
    path = generation_path(generation, "/preview/traces")
    with open_api(url, ca) as api:
        if which is not None:
            found = api.get_json(f"{path}/{_find(api, path, which)}")
            print_json(found) if as_json else _print_one(found, whole=whole)
            return
        params: dict[str, str | int] = {"limit": limit}
        given = {"contains": contains, "min_ms": slow, "failed": failed or None, "hinted": hinted or None}
        params |= {name: str(value).lower() for name, value in given.items() if value is not None}
        page = api.get_json(path, params=params)
    if as_json:
        for one in page["items"]:
            print_json(one)
        return
    _print_list(page)


def _find(api: Api, path: str, which: str) -> str:
    """Return the id of the trace that a number, an id or a request's id names.

    Raises:
        CommandFailed: There is none.
    """
    if len(which) == _TRACE_DIGITS and all(one in "0123456789abcdef" for one in which):
        return which
    is_number = which.isascii() and which.isdecimal() and len(which) < 18
    params: dict[str, str | int] = {"limit": 1}
    params |= {"before": int(which) + 1} if is_number else {"request_id": which}
    items = api.get_json(path, params=params)["items"]
    if not items or (is_number and items[0]["number"] != int(which)):
        raise CommandFailed(f"There is no trace {quoted(which)}; list them with: preview trace GEN")
    trace_id: str = items[0]["trace_id"]
    return trace_id


def _print_list(page: Mapping[str, Any]) -> None:
    items = page["items"]
    if items:
        table = listing("N", "TIME", "MS", "SQL", "CALLS", "STATUS", "REQUEST", "HINT")
        for one in reversed(items):
            hint = one["hints"][0]["sentence"].partition(". ")[0] if one["hints"] else ""
            table.add_row(
                Text(str(one["number"])),
                Text(one["started_at"][11:19]),
                Text(f"{one['duration_ms']:.1f}"),
                Text(str(one["sql_count"])),
                Text(str(one["call_count"])),
                Text(str(one["status"] or "-"), style="red" if one["failed"] else ""),
                Text(visible(clipped(one["name"], 60))),
                Text(visible(clipped(hint, 100)), style="yellow"),
            )
        table_console().print(table)
    elif page["tracing"]:
        say("No traces yet; send a request to the preview.")
    else:
        say("Tracing is off. Turn it on: preview env start GEN --trace, then preview restart GEN")
    if page["dropped"]:
        say(f"{counted(page['dropped'], 'span was', 'spans were')} lost: too many came at once")
    if page["removed"]:
        removed = counted(page["removed"], "span of older requests was", "spans of older requests were")
        say(f"{removed} removed: the limit is reached")


def _print_one(found: Mapping[str, Any], *, whole: bool) -> None:
    said = [f"{found['duration_ms']:.1f} ms", f"{counted(found['sql_count'], 'statement')} in {found['sql_ms']:.1f} ms"]
    if found["call_count"]:
        said.append(counted(found["call_count"], "outgoing request"))
    show(f"{_line(found['name'])}  {found['status'] or ''}  {', '.join(said)}")
    if found["request_id"]:
        show(f"request id {found['request_id']}")
    for line in _tree(found["spans"], whole=whole):
        show(line)
    if found["dropped"]:
        say(f"{counted(found['dropped'], 'span of this request was', 'spans of this request were')} not kept")
    for hint in found["hints"]:
        say(f"hint: {_line(hint['sentence'])}")


def _tree(spans: _Spans, *, whole: bool) -> Iterator[str]:
    """Yield a line for each span, indented below the one that it happened in."""
    known = {span["span_id"] for span in spans}
    below: dict[str | None, list[Mapping[str, Any]]] = {}
    for span in spans:
        parent = span["parent_id"] if span["parent_id"] in known and span["parent_id"] != span["span_id"] else None
        below.setdefault(parent, []).append(span)
    shown: set[str] = set()

    def lines(parent: str | None, depth: int) -> Iterator[str]:
        same = 0
        children = below.get(parent, ())
        for at, span in enumerate(children):
            same = same + 1 if at and span["name"] == children[at - 1]["name"] else 1
            is_last = at + 1 == len(children) or children[at + 1]["name"] != span["name"]
            if not whole and same > _SAME and span["span_id"] not in below:
                shown.add(span["span_id"])
                if is_last:
                    yield f"{'  ' * depth}                      … {same - _SAME} more of the same (--all)"
                continue
            # An application may report the same id twice, or a circle.
            if span["span_id"] in shown:
                continue
            shown.add(span["span_id"])
            yield _span(span, depth)
            if depth < _DEEPEST:
                yield from lines(span["span_id"], depth + 1)

    yield from lines(None, 0)
    # What only leads back to itself, or is deeper than people can read.
    for span in spans:
        if span["span_id"] not in shown:
            shown.add(span["span_id"])
            yield _span(span, 0)


def _span(span: Mapping[str, Any], depth: int) -> str:
    times = f"{span['offset_ms']:9.1f} +{span['duration_ms']:9.1f} ms"
    ends = " ".join(str(one) for one in (span["status"], span["error"]) if one)
    detail = _line(span["detail"])
    shown = "" if detail == span["name"] else clipped(detail, _DETAIL)
    return f"{'  ' * depth}{times}  {_line(span['name'])}  {shown} {_line(ends)}".rstrip()


def _line(text: str) -> str:
    return visible(" ".join(text.split()))
