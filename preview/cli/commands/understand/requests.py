"""``preview requests``: recorded requests of a preview."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from preview.cli.client import Api, generation_path, open_api
from preview.cli.commands.data.showing import ask
from preview.cli.exits import CommandFailed, ExitCode, UsageMistake
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption, YesOption
from preview.cli.terminal import counted, listing, print_json, say, show, table_console
from preview.client.errors import Unreachable
from preview.core.quoting import quoted, visible

app = typer.Typer(add_completion=False)

# Pauses before the stream is opened again, after each failure in a row.
_PAUSES_S = (0.2, 1.0, 3.0, 5.0)
_PAGE = 200
# Most requests of one HAR file: a page of the service.
_MOST_IN_FILE = 500
# Most bytes of an imported file that are read; the service takes 8 MiB.
_MOST_READ_BYTES = 16 * 1024 * 1024


@app.command()
def requests(
    generation: GenerationArgument,
    number: Annotated[int | None, typer.Argument(metavar="N", min=1, help="Show this request in full.")] = None,
    chosen: Annotated[
        str | None,
        typer.Option(
            "--filter", metavar="FILTER", help="Only requests that match: 'status:>=500 -path:/health ms:>100'."
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Show new requests until the preview ends.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="Maximum number of requests.")
    ] = 50,
    capture: Annotated[
        str | None, typer.Option("--capture", metavar="off|meta|full", help="Set what is recorded from now on.")
    ] = None,
    form: Annotated[
        Literal["curl", "httpx", "fetch", "pytest"] | None,
        typer.Option("--as", help="Print request N as code that sends it."),
    ] = None,
    pin: Annotated[
        bool | None, typer.Option("--pin/--unpin", help="Pin request N, so that it is never deleted, or unpin it.")
    ] = None,
    har: Annotated[
        Path | None, typer.Option("--har", metavar="FILE", help="Write the requests as a HAR 1.2 file; - for stdout.")
    ] = None,
    imported: Annotated[
        Path | None,
        typer.Option("--import", metavar="FILE", help="Read a HAR file, or a curl command; - for standard input."),
    ] = None,
    yes: YesOption = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the requests that a preview received, or one of them in full.

    Example: preview requests gen_abc --filter 'status:>=500 -path:/health'. Headers and bodies are recorded after
    --capture full. With --json each request is one JSON object on its line.

    The requests of an imported HAR file become records. A curl command is not run: it is
    printed as a `preview request` command.
    """
    _check_choice(
        number, {"--as": form, "--pin": pin}, {"--har": har, "--import": imported, "--follow": follow or None}
    )
    if number is not None and (follow or chosen is not None):
        raise UsageMistake("A number selects one request; omit --follow and --filter.")
    path = generation_path(generation, "/preview/requests")
    with open_api(url, ca) as api:
        if capture is not None:
            body = {"capture": capture}
            api.call("PUT", generation_path(generation, "/preview/capture"), body=body)
            say(f"recording is now set to: {capture}")
            if number is None and not follow and har is None and imported is None:
                return
        if har is not None:
            _export(api, path, chosen, limit, har, is_agreed=yes)
        elif imported is not None:
            _import(api, generation, path, imported, as_json=as_json)
        elif number is not None:
            _one(api, f"{path}/{number}", number, form, pin, as_json=as_json)
        else:
            _several(api, path, chosen, limit, follow=follow, as_json=as_json)


def _check_choice(number: int | None, of_one: dict[str, object], of_several: dict[str, object]) -> None:
    """Check that at most one of the options is given, and a number only with those of one request.

    Raises:
        UsageMistake: They cannot be combined.
    """
    given = [name for name, value in (of_one | of_several).items() if value is not None]
    if len(given) > 1:
        raise UsageMistake(f"{given[0]} and {given[1]} cannot be combined; use one of them.")
    for name in given:
        if name in of_one and number is None:
            raise UsageMistake(f"{name} needs the number of a request: `preview requests GEN N {name} …`.")
        if name in of_several and number is not None:
            raise UsageMistake(f"{name} is for all requests, and a number selects one; omit one of the two.")


def _one(api: Api, path: str, number: int, form: str | None, pin: bool | None, *, as_json: bool) -> None:
    if form is not None:
        text = api.call("GET", path, params={"format": form}).text
        print_json({"number": number, "format": form, "text": text}) if as_json else show(text.removesuffix("\n"))
    elif pin is not None:
        api.call("PUT" if pin else "DELETE", f"{path}/pin")
        say(f"request {number} is pinned: it is never deleted" if pin else f"request {number} is no longer pinned")
    else:
        one = api.get_json(path)
        print_json(one) if as_json else _print_one(one)


def _several(api: Api, path: str, chosen: str | None, limit: int, *, follow: bool, as_json: bool) -> None:
    found, lost = _collect(api, path, chosen, limit)
    _print_list(found, as_json=as_json)
    if lost:
        say(f"{counted(lost, 'request')} could not be recorded: too many came at once")
    if follow:
        try:
            _follow(api, path, chosen, found[-1]["number"] if found else 0, as_json=as_json)
        except KeyboardInterrupt:
            # Ctrl-C is the normal way to stop following.
            raise typer.Exit(ExitCode.OK) from None
    elif not found and not as_json:
        say("No requests are recorded; send one to the preview.")


def _export(api: Api, path: str, chosen: str | None, limit: int, file: Path, *, is_agreed: bool) -> None:
    """Write the newest requests as a HAR file. An existing file is replaced only if the user agrees.

    Raises:
        UsageMistake: One file cannot have that many, or the file exists and there is no terminal to ask at.
        CommandFailed: The file cannot be written.
    """
    if limit > _MOST_IN_FILE:
        raise UsageMistake(f"A HAR file has at most {_MOST_IN_FILE} requests; use --limit {_MOST_IN_FILE} or --filter.")
    params: dict[str, str | int] = {"format": "har", "limit": limit}
    if chosen:
        params["filter"] = chosen
    reply = api.call("GET", path, params=params)
    entries = len(reply.json()["log"]["entries"])
    if str(file) == "-":
        print_json(reply.json())
        return
    try:
        try:
            opened = file.open("xb")
        except FileExistsError:
            ask(f"{file} exists. Replace it?", is_agreed=is_agreed)
            opened = file.open("wb")
        with opened:
            opened.write(reply.content)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise CommandFailed(f"{quoted(str(file))} cannot be written ({why}).") from error
    say(f"{counted(entries, 'request')} written to {file}")


def _import(api: Api, generation: str, path: str, file: Path, *, as_json: bool) -> None:
    """Read a HAR file, whose requests become records, or a curl command, which is shown as ``preview request``."""
    content = _read(file).removeprefix(b"\xef\xbb\xbf")
    is_har = content.lstrip()[:1] == b"{"
    kind = "application/json" if is_har else "text/plain"
    found = api.call("POST", f"{path}/import", body=content, headers={"Content-Type": kind}).json()
    if as_json:
        print_json(found)
        return
    if not is_har:
        for one in found["requests"]:
            show(_as_command(generation, one))
        return
    numbers, skipped = found["numbers"], found["skipped"]
    if not numbers:
        read = counted(len(found["requests"]), "request")
        turn_on = f"`preview requests {generation} --capture full`"
        say(f"{read} read, but not recorded: capture is off. Switch it on with {turn_on}, then import again.")
        return
    which = f"record {numbers[0]}" if len(numbers) == 1 else f"records {numbers[0]} to {numbers[-1]}"
    left = f"; {skipped} left out: to other hosts, or with a body that is too large" if skipped else ""
    show(f"{counted(len(numbers), 'request')} to {found['host']} imported as {which}{left}")


def _read(file: Path) -> bytes:
    try:
        if str(file) == "-":
            if sys.stdin.isatty():
                say("Paste the curl command, then press Ctrl-D on a line of its own.")
            return sys.stdin.buffer.read(_MOST_READ_BYTES)
        with file.open("rb") as opened:
            return opened.read(_MOST_READ_BYTES)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageMistake(f"{quoted(str(file))} cannot be read ({why}).") from error


def _as_command(generation: str, one: dict[str, Any]) -> str:
    """Return a request as a command that sends it to the preview, safe to paste into a shell."""
    words = ["preview", "request", generation, one["method"], one["path"]]
    for name, value in one["headers"].items():
        words += ["-H", f"{name}: {value}"]
    body = one["body"]
    if one["body_base64"] is not None or "\0" in (body or ""):
        say("The body is not text, so it is not in this command; --json shows it.")
    elif body is not None and body.startswith("@"):
        # As an argument it would be the name of a file.
        return f"printf %s {_word(body)} | {_line([*words, '-d', '@-'])}"
    elif body is not None:
        words += ["-d", body]
    return _line(words)


def _line(words: Sequence[str]) -> str:
    return " ".join(map(_word, words))


def _word(text: str) -> str:
    """Quote a word for the shell; characters that a terminal does not show are escapes, as bash and zsh read them."""
    if text.isprintable():
        return shlex.quote(text)
    escaped = (
        f"\\{one}"
        if one in "\\'"
        else one
        if one.isprintable()
        else "".join(rf"\x{byte:02x}" for byte in one.encode("utf-8", "surrogatepass"))
        for one in text
    )
    return f"$'{''.join(escaped)}'"


def _collect(api: Api, path: str, chosen: str | None, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Return the newest requests, oldest first, and the number of lost ones."""
    found: list[dict[str, Any]] = []
    params: dict[str, str | int] = {"limit": min(limit, _PAGE)} | ({"filter": chosen} if chosen else {})
    while True:
        page = api.get_json(path, params=params)
        found += page["items"]
        if page["next"] is None or len(found) >= limit:
            return found[:limit][::-1], page["lost"]
        params |= {"before": page["next"], "preview_id": page["preview_id"]}


def _follow(api: Api, path: str, chosen: str | None, after: int, *, as_json: bool) -> None:
    failures = 0
    while True:
        params: dict[str, str | int] = {"after": after} | ({"filter": chosen} if chosen else {})
        headers = {"Accept": "text/event-stream"}
        try:
            with api.stream(path, params, headers) as events:
                for event in events:
                    if not event.data:
                        continue
                    failures = 0
                    data: Any = event.json()
                    if event.event == "request":
                        after = data["number"]
                        _print_list([data], as_json=as_json, has_head=False)
                    elif event.event == "lost":
                        say(f"{counted(data['lost'], 'request')} could not be recorded: too many came at once")
                    elif event.event in {"end", "expired"}:
                        return
        except Unreachable as error:
            if failures >= len(_PAUSES_S):
                raise api.as_failure(error) from error
        # Also after a stream without an end: the service may close each one at once.
        time.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
        failures += 1


def _print_list(found: list[dict[str, Any]], *, as_json: bool, has_head: bool = True) -> None:
    if as_json:
        for one in found:
            print_json(one)
    elif found:
        table_console().print(_table(found, has_head=has_head))


def _table(found: list[dict[str, Any]], *, has_head: bool) -> Table:
    table = listing("N", "TIME", "METHOD", "STATUS", "MS", "WHO", "TARGET")
    table.show_header = has_head
    for one in found:
        status = str(one["status"] or one["error"])
        style = "red" if one["error"] or one["status"] >= 500 else "yellow" if one["status"] >= 400 else ""
        table.add_row(
            Text(str(one["number"])),
            Text(one["started_at"][11:19]),
            Text(visible(one["method"])),
            Text(status, style=style),
            Text(f"{one['timing']['ended_ms']:.1f}"),
            Text(one["who"] if one["is_verified"] else f"{one['who']} (reported by the application)"),
            Text(visible(one["target"])),
        )
    return table


def _print_one(one: dict[str, Any]) -> None:
    timing = one["timing"]
    words = [f"{name.removesuffix('_ms')} {ms:.1f}" for name, ms in timing.items() if ms is not None]
    show(f"{one['method']} {one['target']}")
    show(f"status {one['status'] or one['error']}, {one['who']}, by {one['origin']}, reload {one['reload']}")
    show(f"ms: {', '.join(words)}")
    show(f"request id {one['request_id']}, lines {one['first_line']} to {one['last_line']}")
    for title in ("request", "response"):
        message = one[title]
        if message is None:
            continue
        show("")
        for name, value in message["headers"]:
            show(f"{name}: {value}")
        show("")
        if message["body"]:
            show(message["body"] if message["body_encoding"] == "utf-8" else f"({message['size_bytes']} bytes)")
        if message["note"]:
            say(f"{title}: {message['note']} bytes")
    if one["request"] is None:
        say("headers and bodies were not recorded; set --capture full")
