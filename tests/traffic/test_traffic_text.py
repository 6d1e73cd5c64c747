"""Requests as text to paste, and back; files of other tools."""

from __future__ import annotations

import ast
import json
import shlex
import subprocess
from base64 import b64decode
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from preview.errors import InvalidRequest, RecordIncomplete
from preview.traffic import Message, Origin, RecordedRequest, Timing, Who
from preview.traffic.curl import MOST_CHARACTERS, parse_curl
from preview.traffic.exports import Format, export
from preview.traffic.har import MOST_ENTRIES, read_har, write_har
from preview.traffic.ready import ReadyRequest, ready_request

BASE = "http://localhost:3001"
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True).filter(
    lambda name: name.lower() not in ("host", "te", "expect", "connection", "content-length", "upgrade", "trailer")
)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2000, exclude_categories=["Cc", "Cf"]), max_size=30)
REQUESTS = st.builds(
    ReadyRequest,
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    st.from_regex(r"/[A-Za-z0-9/_.~$'()*!-]{0,20}(\?[A-Za-z0-9=&%$'()*;-]{0,20})?", fullmatch=True).filter(
        lambda target: not target.startswith("//") and "%" not in target
    ),
    st.lists(st.tuples(NAMES, VALUES.map(lambda one: " ".join(one.split()))), max_size=4).map(tuple),
    st.none() | st.binary(max_size=60) | st.text(max_size=60).map(lambda one: one.encode("utf-8", "ignore")),
)
# Shows its arguments, and its input.
SHOW = """curl() { printf '%s\\0' "$#" "$@"; cat; }\n"""


def record(**changes: Any) -> RecordedRequest:
    request = Message((("content-type", "application/json"), ("accept", "*/*")), b'{"title": "Emma"}', 17)
    response = Message((("content-type", "application/json"),), b'{"id": 7}', 9)
    values: dict[str, Any] = {
        "preview_id": "preview_1",
        "number": 3,
        "request_id": "abc",
        "started_ms": 1_750_000_000_000,
        "origin": Origin.CALL,
        "who": Who.OWNER,
        "method": "POST",
        "target": "/books?draft=1",
        "status": 201,
        "error": None,
        "timing": Timing(1.0, 2.0, 5.0, 9.5),
        "sent_bytes": 17,
        "received_bytes": 9,
        "reload": 0,
        "first_line": 1,
        "last_line": 0,
        "request": request,
        "response": response,
    }
    return RecordedRequest(**values | changes)


def run_in_shell(command: str) -> tuple[list[str], bytes]:
    """The arguments and the input that ``curl`` gets from a real shell."""
    done = subprocess.run(["sh", "-c", SHOW + command], input=b"", capture_output=True, check=True)
    assert done.stderr == b""
    count, _, rest = done.stdout.partition(b"\0")
    *arguments, given_input = rest.split(b"\0", int(count))
    return [one.decode() for one in arguments], given_input


@settings(max_examples=60)
@example(ReadyRequest("GET", "/", (), b"-\0"))
@given(REQUESTS)
def test_a_real_shell_hands_curl_just_the_request(request: ReadyRequest) -> None:
    arguments, stdin = run_in_shell(export(request, Format.CURL, BASE))
    words = iter(arguments)
    seen: dict[str, list[str]] = {}
    url = ""
    for word in words:
        if word == "--globoff":
            continue
        if word.startswith("--"):
            seen.setdefault(word, []).append(next(words))
        else:
            url = word
    assert url == BASE + request.target
    assert seen.get("--request", ["GET" if request.body is None else "POST"]) == [request.method]
    sent = [one for one in seen.get("--header", []) if one != "Content-Type:"]
    assert sent == [f"{name}: {value}" if value else f"{name};" for name, value in request.headers]
    body = seen.get("--data-raw", seen.get("--data-binary"))
    if request.body is None:
        assert body is None
    else:
        assert (stdin if body == ["@-"] else (body or [""])[0].encode()) == request.body


@settings(max_examples=200)
@given(REQUESTS.filter(lambda one: one.body is None or (one.body.isascii() and one.body.decode().isprintable())))
def test_a_command_that_was_exported_is_read_back(request: ReadyRequest) -> None:
    back = parse_curl(export(request, Format.CURL, BASE))
    assert (back.method, back.target, back.body) == (request.method, request.target, request.body)
    mine = [one for one in back.headers if one in request.headers]
    assert mine == list(request.headers)


@settings(max_examples=200)
@given(REQUESTS)
def test_programs_have_the_request_as_literals_in_plain_ascii(request: ReadyRequest) -> None:
    for form in (Format.HTTPX, Format.PYTEST):
        text = export(request, form, BASE)
        assert text.isascii()
        calls = [one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.Call)]
        [call] = [one for one in calls if isinstance(one.func, ast.Attribute) and one.func.attr == "request"]
        literals = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
        assert literals.get("content") == request.body
        assert literals.get("headers", []) == list(request.headers)
    text = export(request, Format.FETCH, BASE)
    assert text.isascii()
    assert "\r" not in text


# Runs programs with a ``fetch`` that notes what it is given.
NODE = """
const Program = Object.getPrototypeOf(async () => {}).constructor;
const seen = [];
globalThis.fetch = async (url, { method, headers, body }) => {
  const bytes = body === undefined ? null : Buffer.from(body).toString("base64");
  seen.push([new Request(url, { method, headers }).url, url, method, headers ?? [], bytes]);
  return new Response("ok");
};
const write = process.stdout.write.bind(process.stdout);
console.log = () => {};
for (const program of JSON.parse(require("fs").readFileSync(0))) await new Program(program)();
write(JSON.stringify(seen));
"""
HARD = "é 'q' \"d\" `${1}` </script> \\u0041 \u2028 \U0001f600"
SENT = [
    ReadyRequest("GET", "/"),
    ReadyRequest("GET", "/books?page=2&q=a'b`${x}\\", (("Accept", "*/*"), ("X-Two", "1"), ("X-Two", "2"))),
    ReadyRequest("HEAD", "/a%20b"),
    ReadyRequest("DELETE", "/books/1", (("Authorization", "Bearer [redacted:5f0c21aa]"),)),
    ReadyRequest("OPTIONS", "/é"),
    ReadyRequest("POST", "/books", (("Content-Type", "application/json"),), b'{"title": "Emma"}'),
    ReadyRequest("POST", "/text", (("Content-Type", "text/plain"),), HARD.encode()),
    ReadyRequest("PUT", "/file", (("X-Quote", "'\"`\\"),), bytes(range(256))),
    ReadyRequest("PATCH", "/lines", (), b"a\r\nb\0c\x7f"),
    ReadyRequest("POST", "/empty", (), b""),
]


def test_fetch_programs_send_just_the_request() -> None:
    programs = [export(one, Format.FETCH, BASE) for one in SENT]
    done = subprocess.run(
        ["node", "--input-type=commonjs", "-e", f"(async () => {{{NODE}}})()"],
        input=json.dumps(programs),
        capture_output=True,
        text=True,
        check=True,
    )
    for request, (real, url, method, headers, body) in zip(SENT, json.loads(done.stdout), strict=True):
        assert url == BASE + quote(request.target, safe="/?&='$%")
        assert real.startswith(BASE + "/")
        assert (method, [tuple(one) for one in headers]) == (request.method, list(request.headers))
        assert (None if body is None else b64decode(body)) == request.body


@settings(max_examples=300)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=10), max_size=6))
def test_words_are_those_of_the_shell(words: list[str]) -> None:
    body = " ".join(words)
    assert parse_curl(shlex.join(["curl", "http://a/b", "--data-raw", body])).body == body.encode()


@settings(max_examples=300)
@given(st.text(alphabet="curl -dXH'\"\\$ \n@=http:/;&(`", max_size=60))
def test_any_text_is_a_request_or_one_sentence(text: str) -> None:
    with suppress(InvalidRequest):
        assert parse_curl(f"curl {text}").target.startswith("/")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("curl localhost:3001", ("GET", "/", None)),
        ("curl -sSL 'http://h/a?b=1' -H 'Accept: x'", ("GET", "/a?b=1", None)),
        ("curl -XDELETE http://h/books/1", ("DELETE", "/books/1", None)),
        ("curl http://h/a -d a=1 -d b=2", ("POST", "/a", b"a=1&b=2")),
        ("curl -G http://h/a -d a=1 --data-urlencode 'q=x y'", ("GET", "/a?a=1&q=x+y", None)),
        ("curl http://h/a --json '{\"a\": 1}'", ("POST", "/a", b'{"a": 1}')),
        ("curl 'http://h/a' \\\n  --data-raw $'it\\'s\\n\\u0021'", ("POST", "/a", b"it's\n!")),
        ("curl -I http://h/a", ("HEAD", "/a", None)),
        ('/usr/bin/curl -X PUT http://h/a --data-binary "a\\"b"', ("PUT", "/a", b'a"b')),
    ],
)
def test_commands_as_people_and_browsers_write_them(command: str, expected: tuple[str, str, bytes | None]) -> None:
    request = parse_curl(command)
    assert (request.method, request.target, request.body) == expected


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("wget http://h", "not a curl command"),
        ("curl http://h -d @/etc/passwd", "reads its body from the file"),
        ("curl http://h -H @secrets", "reads its headers from a file"),
        ("curl http://h -b jar.txt", "reads its cookies from a file"),
        ("curl http://h -F 'a=@/etc/passwd'", "not supported"),
        ("curl http://h $(reboot)", "would run something"),
        ("curl http://h; reboot", "would run something"),
        ("curl http://h > file", "would run something"),
        ("curl http://h 'open", "a quote is not closed"),
        ("curl http://h --frobnicate", "not supported"),
        ("curl", "no address"),
        ("curl http://a http://b", "second address"),
        ("curl http://h -X", "needs a value"),
        ("curl http://h " + "a" * MOST_CHARACTERS, "longer than"),
        ("curl " + "a " * 600, "address"),
    ],
)
def test_commands_that_are_refused(command: str, part: str) -> None:
    with pytest.raises(InvalidRequest, match=part.replace("(", r"\(")):
        parse_curl(command)


def test_a_header_that_is_an_order_to_curl_is_left_out() -> None:
    evil = ReadyRequest("GET", "/", (("@/etc/passwd", "x"), ("X-Ok", "a\nb\x1b[2J")), None)
    text = export(evil, Format.CURL, BASE)
    assert "@" not in text
    assert run_in_shell(text)[0][-1] == "X-Ok: a b [2J"


def test_an_archive_comes_back(tmp_path: Path) -> None:
    binary = record(number=4, request=Message((), b"\xff\x00", 2), sent_bytes=2)
    text = write_har([record(), binary, record(number=5, request=None, response=None)], BASE)
    archive = json.loads(text)
    assert archive["log"]["version"] == "1.2"
    assert [entry["time"] for entry in archive["log"]["entries"]] == [9.5] * 3
    for entry in archive["log"]["entries"]:
        assert sum(value for value in entry["timings"].values() if value > 0) == pytest.approx(9.5)
    found = read_har(text.encode())
    assert (found.host, found.skipped) == ("localhost:3001", 0)
    assert [one.request.body for one in found.requests] == [b'{"title": "Emma"}', b"\xff\x00", None]
    assert [(one.status, one.body) for one in found.requests][:1] == [(201, b'{"id": 7}')]
    assert found.requests[0].request.target == "/books?draft=1"


def test_only_requests_of_one_host_are_imported() -> None:
    def entry(url: str) -> dict[str, Any]:
        return {"request": {"method": "get", "url": url, "headers": [{"name": "Host", "value": "x"}]}}

    urls = ["https://fonts.test/a", "http://shop.test/1", "http://shop.test/2", "http://[bad", "data:text/plain,x"]
    content = json.dumps({"log": {"entries": [entry(url) for url in urls]}}).encode()
    found = read_har(content)
    assert (found.host, found.skipped) == ("shop.test", 3)
    assert [one.request for one in found.requests] == [ReadyRequest("GET", "/1"), ReadyRequest("GET", "/2")]
    assert read_har(content, "fonts.test").requests[0].request.target == "/a"
    with pytest.raises(InvalidRequest, match="no request to"):
        read_har(content, "else.test")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b'{"log": {"entries": ' + b"[" * 100_000,
        b'{"log": {"entries": ['
        + b'{"request": {"method": "GET", "url": "http://h/"}},' * (MOST_ENTRIES + 1)
        + b"{}]}}",
        b'{"log": {"entries": [{"request": {"method": "GET /x", "url": "http://h/"}}]}}',
        b'{"log": {"entries": [{"request": {"method": "GET", "url": "http://h/", "headers": [{"name": 1}]}}]}}',
        b'{"log": {"entries": []}}',
        b"\xff\xfe",
    ],
)
def test_a_hostile_archive_is_one_sentence(content: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_har(content)


@pytest.mark.parametrize("bad", ["\0", " ", "\r\n", "\t", "\x7f", "\x85", "\u2028"])
def test_a_target_has_no_space_and_no_control_character(bad: str) -> None:
    url = f"http://h/a{bad}HTTP/1.1"
    entries = [{"request": {"method": "GET", "url": url}}]
    with pytest.raises(InvalidRequest, match="space or a control character"):
        read_har(json.dumps({"log": {"entries": entries}}).encode())
    for command in (["curl", url], ["curl", "-G", "http://h/a", "-d", f"x={bad}y"]):
        with pytest.raises(InvalidRequest, match="space or a control character"):
            parse_curl(shlex.join(command))


def test_records_that_lack_a_part_are_not_sent() -> None:
    assert ready_request(record(method="GET", request=None, sent_bytes=0)) == ReadyRequest("GET", "/books?draft=1")
    with pytest.raises(RecordIncomplete, match="not recorded"):
        ready_request(record(request=None))
    with pytest.raises(RecordIncomplete, match="cut at 2 of 17"):
        ready_request(record(request=Message((), b"{}", 17)))
