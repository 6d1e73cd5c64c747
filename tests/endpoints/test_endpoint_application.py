"""The report of a running application's routes: read within limits, whatever it says, and merged with the source."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as some

from preview.endpoints import Endpoint, Listing, Origin, RouteTable, merge_listings, read_route_table
from preview.endpoints.merging import merge_endpoints, merge_route_table


def shown(report: bytes) -> list[str]:
    return [f"{one.method} {one.path}" for one in read_route_table(report).endpoints]


@given(some.binary(max_size=2_000) | some.text(alphabet="GET*?\t\nsfdxe/{}<>()[]\\:.+a", max_size=300).map(str.encode))
def test_any_report_is_read_without_an_error(report: bytes) -> None:
    for one in read_route_table(report).endpoints:
        assert one.path.startswith("/")
        assert one.path.isprintable() or not one.path.isascii()
        one.path.encode()


@pytest.mark.parametrize(
    "report",
    [
        b"GET\ts/" + b"a" * 10_000_000,
        b"GET\tx" + b"(" * 1_000_000,
        b"GET\tx(" + b"(?P<a>" * 100_000,
        b"GET\te/" + b":a(" * 300_000,
        b"GET" + b"\ts/" * 500_000,
        b"GET\ts/a\n" * 130_000,
        b"\n" * 1_000_000,
        b"GET\tx(?P<a>[^/]+)/(?P<b>(a|b)+)$\n" * 30_000,
    ],
    ids=["long", "open", "nested", "express", "parts", "repeated", "empty", "regexes"],
)
def test_a_large_report_takes_no_time(report: bytes) -> None:
    began = time.process_time()
    read_route_table(report)
    assert time.process_time() - began < 4


def test_more_routes_than_the_limit_leave_the_table_incomplete() -> None:
    table = read_route_table(b"".join(b"GET\ts/%d\n" % number for number in range(20_000)))
    assert len(table.endpoints) == 5_000
    assert table.unknown == ("/",)


@pytest.mark.parametrize(
    "line",
    ["get\ts/", "GET", "GET\t", "GET s/", "GET\ts/a\x1b[31m", "G" * 30 + "\ts/", "\ts/"],
)
def test_what_is_no_route_is_left_out(line: str) -> None:
    assert shown(line.encode()) == []


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("GET\ts/files/{name:path}", "/files/{name}"),
        ("GET\tf/files/<path:name>/<int(min=1):page>", "/files/{name}/{page}"),
        ("GET\tdshop/\tdbooks/<int:pk>/", "/shop/books/{pk}/"),
        ("GET\tdapi/\tx^users/(?P<pk>[^/.]+)/$", "/api/users/{pk}/"),
        ("GET\te/api\te/users/:id(\\d+)", "/api/users/{id}"),
        ("GET\te/\te/", "/"),
        ("GET\ts", "/"),
    ],
)
def test_paths_are_as_the_readers_of_the_source_have_them(line: str, path: str) -> None:
    assert shown(line.encode()) == [f"GET {path}"]


def test_types_of_parameters_are_known() -> None:
    table = read_route_table(b"GET\ts/{id:int}/{name}\n")
    assert table.endpoints[0].path_parameters == {"id": "integer", "name": "string"}


def described(*lines: str) -> list[Endpoint]:
    """Endpoints of the source, each with a place."""
    pairs = [line.split(" ") for line in lines]
    return [Endpoint(method, path, file="main.py", line=at) for at, (method, path) in enumerate(pairs, 1)]


def merged(source: list[Endpoint], *routes: str, unknown: tuple[str, ...] = ()) -> list[str]:
    pairs = [route.split(" ") for route in routes]
    table = RouteTable(tuple(Endpoint(method, path, source=Origin.APPLICATION) for method, path in pairs), unknown)
    return [f"{one.method} {one.path} {one.source} {one.line}" for one in merge_route_table(source, table)]


def test_a_route_in_both_has_its_place_and_the_better_evidence() -> None:
    assert merged(described("GET /a/{id}"), "GET /a/{pk}") == ["GET /a/{id} application 1"]


def test_a_route_that_no_source_has_comes_last() -> None:
    assert merged(described("GET /a"), "GET /admin", "GET /a") == [
        "GET /a application 1",
        "GET /admin application None",
    ]


def test_a_route_that_a_complete_table_lacks_does_not_exist() -> None:
    assert merged(described("GET /a", "GET /b"), "GET /a") == ["GET /a application 1"]


def test_a_route_where_the_table_ends_stays() -> None:
    source = described("GET /a", "GET /old/b", "GET /older")
    assert merged(source, "GET /a", unknown=("/old",)) == ["GET /a application 1", "GET /old/b static 2"]


def test_an_unknown_application_changes_nothing() -> None:
    assert merged(described("GET /a"), unknown=("/",)) == ["GET /a static 1"]
    assert merge_route_table(described("GET /a"), None) == described("GET /a")


LEFT_OPEN = "main.py:9: the path of a route is not known from the source"


@pytest.mark.parametrize(
    ("table", "unread"),
    [
        (None, [LEFT_OPEN]),
        (RouteTable(), [LEFT_OPEN]),
        (RouteTable((Endpoint("GET", "/a"),)), []),
        (RouteTable((Endpoint("GET", "/a"),), ("/",)), [LEFT_OPEN]),
        (RouteTable((Endpoint("GET", "/a"),), ("/old",)), [LEFT_OPEN]),
        (
            RouteTable((Endpoint("GET", "/a"),), ("/admin",)),
            [LEFT_OPEN, "routes below /admin are not in the application's route table"],
        ),
    ],
    ids=["none", "empty", "whole", "open", "known from the source", "mounted"],
)
def test_only_a_whole_table_makes_a_list_complete(table: RouteTable | None, unread: list[str]) -> None:
    found = merge_listings(Listing(tuple(described("GET /a", "GET /old/b")), (LEFT_OPEN,)), [], table)
    assert (list(found.unread), found.complete) == (unread, not unread)


def test_any_method_of_a_table_stands_for_those_of_the_source() -> None:
    assert merged(described("GET /a", "POST /a"), "* /a") == ["GET /a application 1", "POST /a application 2"]


def test_the_methods_of_a_table_stand_for_any_of_the_source() -> None:
    assert merged(described("* /a"), "GET /a", "POST /a") == ["GET /a application 1", "POST /a application 1"]


def test_a_method_that_the_table_lacks_is_left_out() -> None:
    assert merged(described("GET /a", "PUT /a"), "GET /a", "POST /a") == [
        "GET /a application 1",
        "POST /a application None",
    ]


def test_a_route_that_the_document_hides_is_not_taken_for_the_one_with_a_closing_slash() -> None:
    assert merged(described("GET /a/"), "GET /a/", "GET /a") == ["GET /a/ application 1", "GET /a application None"]


def test_the_closing_slash_is_the_tables() -> None:
    assert merged(described("GET /a", "GET /b/"), "GET /a/", "GET /b") == [
        "GET /a/ application 1",
        "GET /b application 2",
    ]


def test_a_closing_slash_tells_two_routes_apart() -> None:
    assert merged(described("GET /a", "GET /a/"), "GET /a", "GET /a/") == [
        "GET /a application 1",
        "GET /a/ application 2",
    ]


METHODS = [f"{a}{b}{c}" for a in "ABCDEFGHIJ" for b in "ABCDEFGHIJ" for c in "ABCDEFGHIJ"]
LONG = "a" * 100_000
HOSTILE: dict[str, Callable[[], list[Endpoint]]] = {
    "braces": lambda: merge_route_table(
        [], read_route_table(b"".join(b"GET\ts/%03d%s\n" % (n, b"{" * 1900) for n in range(530)))
    ),
    "one shape": lambda: merge_route_table(
        [Endpoint("GET", f"/{{x{n}}}") for n in range(5_000)],
        read_route_table(b"".join(b"GET\ts/{a%d}\n" % n for n in range(5_000))),
    ),
    "methods of one": lambda: merge_route_table(
        [Endpoint("*", "/{x}", description=LONG)],
        read_route_table("".join(f"{method}\ts/{{a}}\n" for method in METHODS).encode()),
    ),
    "methods of each": lambda: merge_route_table(
        [Endpoint("*", f"/{{x{n}}}") for n in range(1_000)],
        read_route_table("".join(f"{method}\ts/{{a}}\n" for method in METHODS).encode()),
    ),
    "unknown everywhere": lambda: merge_route_table(
        [Endpoint("GET", f"/{n}") for n in range(5_000)],
        RouteTable((Endpoint("GET", "/z"),), tuple(f"/u{n}" for n in range(5_000))),
    ),
    "one description for all": lambda: merge_endpoints(
        [Endpoint("GET", "/{x}", description=LONG)], [Endpoint("GET", f"/{{a{n}}}") for n in range(5_000)]
    ),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_merging_hostile_lists_takes_no_time_and_no_memory(attack: str) -> None:
    """The service merges them itself, for everybody's requests at once."""
    began = time.process_time()
    found = HOSTILE[attack]()
    assert time.process_time() - began < 2
    assert len(found) <= 10_000
    assert sum(len(one.description) for one in found) <= 32 * len(LONG)
    tracemalloc.start()
    HOSTILE[attack]()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 16 << 20


@pytest.mark.parametrize("path", ["/<script>alert(1)</script>", "/[red]x[/red]", "/\u202egnp.exe", "/{{7*7}}"])
def test_a_path_that_is_markup_is_text(path: str) -> None:
    assert shown(f"GET\ts{path}".encode()) == [f"GET {path}"]


def test_a_process_cannot_choose_more_than_method_and_path() -> None:
    """Tabs and line ends separate; nothing in a field gives an endpoint a file, a text or another origin."""
    report = 'GET\ts/a\ts{"file": "/etc/passwd"}\nPOST\ts/b","source":"static\n'
    for one in read_route_table(report.encode()).endpoints:
        assert (one.file, one.line, one.summary, one.description, one.source) == (
            None,
            None,
            "",
            "",
            Origin.APPLICATION,
        )


def test_a_table_with_too_many_unknown_places_is_unknown() -> None:
    table = read_route_table(b"GET\ts/a\n" + b"".join(b"?\ts/u%d\n" % n for n in range(1_000)))
    assert table.unknown == ("/",)
