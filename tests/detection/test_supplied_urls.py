"""A server's URL leads to the preview's own server, and nothing else of it changes."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preview.detection.plan import ServiceKind
from preview.detection.supplied.urls import address_from, demands_tls, hosts_of, is_reached, is_usable, local_url

POSTGRESQL = ServiceKind.POSTGRESQL


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("postgresql://u:p@db:5432/shop", "postgresql://u:p@db:5432/shop"),
        ("postgresql://u:p@127.0.0.1/shop", "postgresql://u:p@127.0.0.1/shop"),
        ("postgresql://u:p@[::1]:5432/shop", "postgresql://u:p@[::1]:5432/shop"),
        ("postgres://u:p@ep-1.eu.neon.tech/n?sslmode=require", "postgres://u:p@localhost/n"),
        ("mysql+pymysql://u:p@[2001:db8::1]:3307/x", "mysql+pymysql://u:p@localhost:3307/x"),
        ("postgresql://u:p@a.example:5432,b.example/x", "postgresql://u:p@localhost:5432,localhost/x"),
        ("postgresql:///shop", "postgresql://localhost/shop"),
        ("postgresql:///shop?host=/cloudsql/a:b:c&connect_timeout=3",
         "postgresql://localhost/shop?host=localhost&connect_timeout=3"),
        ("postgresql://u:p/w#1@far.example/shop", "postgresql://u:p/w#1@localhost/shop"),
        ("mysql://u:p@db/x?sslaccept=strict&connection_limit=5", "mysql://u:p@db/x?connection_limit=5"),
        ("mysql://u:p@db/x?ssl=true", "mysql://u:p@db/x"),
        ("postgresql://u@db/x?sslmode=disable", "postgresql://u@db/x?sslmode=disable"),
        ("postgresql://u@db/x?a=1&channel_binding=require&b=2", "postgresql://u@db/x?a=1&b=2"),
        ("rediss://:p@far.upstash.io:6379/1?ssl_cert_reqs=none", "redis://:p@localhost:6379/1"),
        ("redis://host.docker.internal:6380", "redis://host.docker.internal:6380"),
        ("no url", "no url"),
    ],
)  # fmt: skip
def test_a_url_leads_to_the_previews_own_server(text: str, local: str) -> None:
    assert local_url(text) == local


@pytest.mark.parametrize("host", ["a.example", "10.0.0.1", "", "0.0.0.0", "localhost.evil", "127.0.0.1.evil", "x" * 99])
def test_other_hosts_are_not_reached(host: str) -> None:
    assert not is_reached(host)


@given(st.text() | st.text("pg:/@?#,[]=&.sslmode1", max_size=60).map("postgresql://{}".format))
@example("postgresql://a@b@c/d@e?host=x&host=y:1#?ssl=true")
@example("redis://[]0")
@example("rediss://[::1/x?ssl=")
@example("://[:?@")
@example("://[a]:b?@")
def test_any_text_leads_to_local_hosts_and_needs_no_tls(text: str) -> None:
    found = local_url(text)
    assert all(map(is_reached, hosts_of(found)))
    assert not demands_tls(found)
    assert local_url(found) == found


WORD = st.text("abcXYZ0189-_.~%", min_size=1, max_size=12)
OPTION = st.tuples(WORD.filter(lambda key: "host" not in key and "ssl" not in key), WORD).map("=".join)
TLS = st.sampled_from(["sslmode=require", "ssl=true", "SSLMode=verify-full", "sslrootcert=ca.pem", "sslaccept=strict"])


@given(
    scheme=st.sampled_from(["postgresql", "postgres", "mysql+aiomysql", "redis", "asyncpg"]),
    user=st.sampled_from(["", "u@", "u:p@", "u:p%40@"]),
    host=WORD,
    port=st.integers(0, 99999).map(":{}".format) | st.just(""),
    path=st.just("") | WORD.map("/{}".format),
    options=st.lists(OPTION, max_size=3),
    demand=TLS,
    at=st.integers(0, 3),
)
def test_nothing_but_the_host_and_tls_changes(
    scheme: str, user: str, host: str, port: str, path: str, options: list[str], demand: str, at: int
) -> None:
    given_options = "&".join([*options[:at], demand, *options[at:]])
    kept = f"?{'&'.join(options)}" if options else ""
    local = host if is_reached(host) else "localhost"
    text = f"{scheme}://{user}{host}{port}{path}?{given_options}"
    assert local_url(text) == f"{scheme}://{user}{local}{port}{path}{kept}"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://<user>:<password>@<host>:<port>/<name>",
        "postgresql://u:p@host:port/x",
        "postgresql://u:p@db:99999/x",
        "postgresql://u:p@db:-1/x",
        "postgresql://u:p@db:٣/x",
        "postgresql://u:p@db/x\0y",
        "postgresql://${USER}@db/x",
        "postgresql://u:p@db/x y",
        "postgresql://u:p@db/" + "x" * 1_000_000,
        "postgresql://[::1",
    ],
)
def test_an_absurd_url_is_replaced_by_one_that_works(text: str) -> None:
    assert not is_usable(text)
    assert address_from(text, POSTGRESQL) == "postgresql://preview:preview@localhost:5432/preview"


@pytest.mark.timed
@pytest.mark.parametrize("part", ["@", "/", "?", "&", ",", "[", ":", "host=", "&ssl=1", "#"])
def test_a_megabyte_takes_no_time(part: str) -> None:
    text = "postgresql://" + part * (1_000_000 // len(part))
    start = perf_counter()
    local_url(text)
    assert perf_counter() - start < 5
