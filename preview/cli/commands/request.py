"""``preview request``: send one request to a running preview, through the service's proxy."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import typer
from rich.text import Text

from preview.cli.client import Api, generation_path, open_api, unreachable
from preview.cli.commands.environment.saved_requests import envelope_of, find_saved, saved_requests
from preview.cli.exits import ApiRefused, CommandFailed, ExitCode, UsageMistake
from preview.cli.help import complete_saved
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import listing, paint, print_json, progress, say, table_console, wants_colour
from preview.cli.tokens import TokenFile
from preview.client.errors import Unreachable
from preview.core.quoting import quoted, visible

Sent = TypeVar("Sent")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_REFERENCE = re.compile(r"\{\{ *([A-Za-z_][A-Za-z0-9_.-]{0,63}) *\}\}")
# A value may be a part of a path.
_SAFE_IN_PATH = "/:@!$&'()*+,;=~%-._"

app = typer.Typer(add_completion=False)


@app.command()
def request(
    generation: GenerationArgument,
    method: Annotated[str | None, typer.Argument(metavar="METHOD", help="GET, POST, …")] = None,
    path: Annotated[
        str | None, typer.Argument(metavar="PATH", help="Absolute path on the preview, with a query if needed.")
    ] = None,
    saved: Annotated[
        str | None,
        typer.Option(
            "--saved", metavar="NAME", help="Send the saved request of this name.", autocompletion=complete_saved
        ),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the saved requests; send nothing.")] = False,
    data: Annotated[
        str | None, typer.Option("-d", "--data", metavar="BODY", help="The body; JSON is sent as JSON, @FILE reads it.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("-H", "--header", metavar="'NAME: VALUE'", help="A header; may be repeated.")
    ] = None,
    var: Annotated[
        list[str] | None,
        typer.Option("--var", metavar="NAME=VALUE", help="A value for {{NAME}}; may be repeated. Implies --resolve."),
    ] = None,
    resolve: Annotated[
        bool, typer.Option("--resolve", help="Replace {{NAME}} by the project's variables, as the page does.")
    ] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with 1 if the status is 400 or above.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Also print the request id for log lookup.")] = False,
    stream: Annotated[bool, typer.Option("--stream", help="Print the body as it arrives; Ctrl-C stops it.")] = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send one request to a running preview.

    Prints the response's body on stdout and its status on stderr; with --json, the whole response on stdout. With
    --stream and --json, each event of the response is one line.

    Example: preview request GEN POST /books -d '{"title": "Emma"}'

    Example: preview request GEN --saved "Add a book" --var title=Emma
    """
    if [listed, saved is not None, method is not None].count(True) != 1 or (method is None) != (path is None):
        raise UsageMistake("Write METHOD and PATH, or --saved NAME, or --list.")
    values = dict(_split_variable(text) for text in var or ())
    with open_api(url, ca) as api:
        if listed:
            _list_saved(api, generation, as_json=as_json)
            return
        if saved is not None:
            envelope = envelope_of(find_saved(api, generation, saved), has_body=data is not None)
        else:
            envelope = {"method": (method or "").upper(), "headers": {}, "body": None} | _split_query(path or "")
        envelope = _completed(envelope, values, data, header or ())
        if resolve or values:
            envelope["resolve"] = True
        if stream:
            status = _with_token(api, generation, partial(_follow, api, generation, envelope, as_json=as_json))
            if fail and status >= 400:
                raise typer.Exit(ExitCode.FAILED)
            return
        answer = _with_token(api, generation, partial(_ask, api, generation, envelope))
    if as_json:
        print_json(answer)
    else:
        _print_answer(generation, answer, verbose=verbose)
    if fail and answer["status_code"] >= 400:
        raise typer.Exit(ExitCode.FAILED)


def _completed(
    envelope: dict[str, Any], values: dict[str, str], data: str | None, headers: Sequence[str]
) -> dict[str, Any]:
    """Return the request with the given headers, body, and values of variables."""
    fill = partial(_filled, values)
    in_path = {name: quote(value, _SAFE_IN_PATH) for name, value in values.items()}
    query, body = envelope["query"], envelope["body"]
    given = [*map(_split_header, headers)]
    # Names of headers have no case (RFC 9110 section 5.1).
    replaced = {name.lower() for name, _ in given}
    kept = [(name, value) for name, value in envelope["headers"].items() if name.lower() not in replaced]
    return envelope | {
        "path": _filled(in_path, envelope["path"]),
        "query": {key: [*map(fill, v)] if isinstance(v, list) else fill(v) for key, v in query.items()},
        "headers": {name: fill(value) for name, value in [*kept, *given]},
        "body": (None if body is None else fill(body)) if data is None else _read_body(data, fill),
    }


def _list_saved(api: Api, generation_id: str, *, as_json: bool) -> None:
    items = saved_requests(api, generation_id)
    if as_json:
        print_json({"items": items})
    elif items:
        table = listing("NAME", "METHOD", "PATH")
        for one in items:
            table.add_row(*(Text(visible(one[field])) for field in ("name", "method", "path")))
        table_console().print(table)
    else:
        say("No requests are saved; save one on the page.")


def _with_token(api: Api, generation_id: str, send: Callable[[str], Sent]) -> Sent:
    """Send the request with the stored token, or a further one if there is none or it has expired."""
    tokens = TokenFile(api.target.settings.data_dir)
    kept = tokens.find(api.target.url, generation_id)
    if kept is not None:
        try:
            return send(kept)
        except ApiRefused as error:
            if error.problem != "invalid_preview_token":
                raise
    made = api.call("POST", generation_path(generation_id, "/preview/token")).json()["session_token"]
    tokens.keep(api.target.url, generation_id, made)
    return send(made)


def _ask(api: Api, generation_id: str, envelope: dict[str, Any], token: str) -> dict[str, Any]:
    path = generation_path(generation_id, "/preview/request")
    with progress("waiting for the response…"):
        answer: dict[str, Any] = api.call("POST", path, body=envelope, headers={"X-Preview-Token": token}).json()
    return answer


def _follow(api: Api, generation_id: str, envelope: dict[str, Any], token: str, *, as_json: bool) -> int:
    """Print the response while it arrives. Return its status.

    Raises:
        CommandFailed: The response did not end properly; what has arrived is printed.
    """
    path = generation_path(generation_id, "/preview/request")
    status = 0
    end: dict[str, Any] | None = None
    try:
        with api.stream(path, {}, {"X-Preview-Token": token}, body=envelope | {"stream": True}) as events:
            for event in events:
                if not event.data:
                    continue
                data: dict[str, Any] = json.loads(event.data)
                status = data.get("status_code", status)
                end = data if event.event == "end" else end
                if as_json:
                    print(json.dumps({"event": event.event} | data), flush=True)
                elif event.event == "head":
                    _say_status(status, "receiving…")
                elif event.event == "piece":
                    _print_piece(data)
    except Unreachable as error:
        raise unreachable(api.target, error) from error
    if end is None:
        raise CommandFailed("The service closed the connection before the response was complete.")
    if end["reason"] != "complete":
        raise CommandFailed(end["detail"])
    if not as_json:
        _say_status(status, f"{end['elapsed_ms']:.0f} ms, {end['size_bytes']} bytes")
    return status


def _say_status(status: int, rest: str) -> None:
    line = f"{status}, {rest}"
    say(paint(line, "32" if status < 400 else "31") if wants_colour(sys.stderr) else line)


def _print_piece(data: dict[str, Any]) -> None:
    """Write a part of the body: to a terminal as text without control characters, elsewhere unchanged."""
    text = data.get("text")
    body = text.encode("utf-8", "surrogatepass") if text is not None else base64.b64decode(data["base64"])
    if sys.stdout.isatty():
        sys.stdout.write(visible(body.decode("utf-8", "replace").replace("\r\n", "\n")))
    else:
        sys.stdout.buffer.write(body)
    sys.stdout.flush()


def _print_answer(generation: str, answer: dict[str, Any], *, verbose: bool) -> None:
    status = int(answer["status_code"])
    line = f"{status} in {answer['elapsed_ms']:.0f} ms"
    say(paint(line, "32" if status < 400 else "31") if wants_colour(sys.stderr) else line)
    if verbose:
        log = answer["log"]
        lines = "no line" if log is None else _numbers(log["first_seq"], log["last_seq"])
        say(f"request id {answer['request_id']}, log: {lines}")
        say(f"`preview logs {generation} --request {answer['request_id']}` shows its lines")
    body = answer["body"]
    if answer.get("encoding") == "base64":
        _print_bytes(base64.b64decode(body))
    elif body:
        _print_body(body)


def _print_bytes(body: bytes) -> None:
    """Write the bytes unchanged. For a terminal, decode them and escape control characters."""
    if sys.stdout.isatty():
        print(visible(body.decode("utf-8", "replace").replace("\r\n", "\n")))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(body)
    sys.stdout.flush()


def _print_body(body: str) -> None:
    """Print the body: on a terminal indented, with control characters escaped; elsewhere unchanged."""
    if sys.stdout.isatty():
        print(visible(_indented(body).replace("\r\n", "\n")))
    else:
        _print_bytes(f"{body}\n".encode("utf-8", "surrogatepass"))


def _numbers(first: int, last: int) -> str:
    return f"line {first}" if first == last else f"lines {first} to {last}"


def _indented(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body


def _split_query(path: str) -> dict[str, Any]:
    """Split ``/a?b=1&c=2&c=3`` into the envelope's path and query."""
    try:
        parts = urlsplit(path)
        query = parse_qs(parts.query, keep_blank_values=True)
    except ValueError as error:  # an address with half a bracket, for instance
        raise _no_path(path) from error
    if parts.scheme or parts.netloc or not parts.path.startswith("/"):
        raise _no_path(path)
    return {"path": parts.path, "query": {key: v[0] if len(v) == 1 else v for key, v in query.items()}}


def _no_path(path: str) -> UsageMistake:
    return UsageMistake(f"{quoted(path)} is not a path; start it with one slash.")


def _split_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageMistake(f"{quoted(text)} is not a header; write 'NAME: VALUE'.")
    return name.strip(), value.strip()


def _split_variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise UsageMistake(f"{quoted(text)} sets no variable; write NAME=VALUE.")
    return name, value


def _filled(values: dict[str, str], text: str) -> str:
    """Return the text with the values of ``{{name}}``; the service puts in those that are not given."""
    return _REFERENCE.sub(lambda found: values.get(found[1], found[0]), text)


def _read_body(data: str | None, fill: Callable[[str], str] = str) -> Any:
    """Return the parsed JSON, else the text itself, with its variables filled in; None without a body."""
    if data is None:
        return None
    if data.startswith("@"):
        try:
            data = sys.stdin.read() if data == "@-" else Path(data[1:]).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:  # missing, not UTF-8, or an impossible file name
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            raise UsageMistake(f"{quoted(data[1:])} cannot be read as the body ({why}).") from error
    data = fill(data)
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data
