"""A project that makes databases, roles or extensions: it gets a PostgreSQL server of its own at its second attempt."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from launch_kit import ANN, Rig, ask, open_rig, story

from preview.backing import PreviewServer, PreviewServers
from preview.core.lifecycle import State
from preview.core.servers import find_postgresql
from preview.detection import ServiceKind, ServiceNeed, StartPlan
from preview.detection.plan import Server, Toolchain
from preview.settings import Settings
from preview.supervisor import LaunchRequest, LivePreview
from preview.supervisor.mending import FailedStart, find_mend

SHOP = """
import psycopg
from fastapi import FastAPI

URL = "postgresql://shop:s3cret@db:5432/"

def run(database, query):
    with psycopg.connect(URL + database, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []

if not run("postgres", "SELECT 1 FROM pg_database WHERE datname = 'shop'"):
    run("postgres", "CREATE DATABASE shop")
run("shop", "CREATE TABLE IF NOT EXISTS books (title text)")
run("shop", "INSERT INTO books VALUES ('Emma')")
app = FastAPI()

@app.get("/")
def home(): return run("shop", "SELECT title, current_database() FROM books")
"""
SEED = """
import psycopg
with psycopg.connect("postgresql://shop:s3cret@db:5432/shop", autocommit=True) as connection:
    connection.execute("CREATE ROLE reader")
"""
REQUIREMENTS = "fastapi\nuvicorn\npsycopg[binary]\n"
AGAIN = 'PostgreSQL has refused the project "create {}": it gets a server of its own; starting again'
NEED = ServiceNeed(ServiceKind.POSTGRESQL, "DATABASE_URL", "app.py:3", supplied=True)
PLAN = StartPlan("fastapi", Toolchain.PYTHON, Server.ASGI, None, services=(NEED,))
REFUSED = "psycopg.errors.InsufficientPrivilege: permission denied to create {}"


@pytest.fixture
async def rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    if find_postgresql() is None:
        pytest.skip("no PostgreSQL on this machine")
    with trio.fail_after(120):
        async with open_rig(make_settings_in(cache_dir=launch_cache_dir, postgres="auto"), monkeypatch) as opened:
            if ServiceKind.POSTGRESQL not in opened.service.supplied:
                pytest.skip("no sandbox gives previews a network of their own here")
            yield opened


async def launch(rig: Rig, **files: str) -> LivePreview:
    rig.source.projects["g1"] = {name.replace("__", "."): text for name, text in files.items()}
    launched = await rig.service.previews.launch(LaunchRequest(ANN, "g1"))
    preview = rig.service.previews.find(launched.record.id)
    assert preview is not None
    await preview.settled.wait()
    assert preview.record.state is State.RUNNING, story(preview)
    return preview


@pytest.mark.long
async def test_a_project_that_makes_its_database_gets_a_server_of_its_own(rig: Rig) -> None:
    preview = await launch(rig, main__py=SHOP, requirements__txt=REQUIREMENTS)
    # Only once, and in a database of the name that the project has made.
    assert (await ask(preview)).json() == [["Emma", "shop"]]
    assert AGAIN.format("database") in story(preview)
    [server] = preview.needed_servers
    assert server in preview.servers.all()
    assert len(preview.servers.all()) > 1


@pytest.mark.long
async def test_a_step_that_is_refused_is_mended_too(rig: Rig) -> None:
    shop = SHOP.replace('    run("postgres", "CREATE DATABASE shop")\n', "    pass\n")
    readme = "# Shop\n\n```\npython seed.py\n```\n"
    preview = await launch(rig, main__py=shop, seed__py=SEED, README__md=readme, requirements__txt=REQUIREMENTS)
    said = story(preview)
    assert AGAIN.format("role") in said
    assert any(line.startswith("step seed: done") for line in said)


@pytest.mark.long
async def test_a_step_that_is_refused_stays_optional_where_no_attempt_is_left(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preview.supervisor.mending.mender._MOST", 0)
    shop = SHOP.replace('    run("postgres", "CREATE DATABASE shop")\n', "    pass\n")
    readme = "# Shop\n\n```\npython seed.py\n```\n"
    preview = await launch(rig, main__py=shop, seed__py=SEED, README__md=readme, requirements__txt=REQUIREMENTS)
    assert "the application is started without the step seed" in story(preview)
    assert not any(line.endswith("starting again") for line in story(preview))


@pytest.mark.parametrize("what", ["database", "role", "extension"])
def test_what_postgresql_refuses_asks_for_a_server_of_its_own(what: str) -> None:
    failed = FailedStart([REFUSED.format(f'{what} "shop"')], PLAN, frozenset(), "/p", may_administer=True)
    mend = find_mend(failed)
    assert mend is not None
    assert mend.administers
    # Where no such server can be had, where the project has it already, and where the server is not the preview's.
    for given in (
        replace(failed, may_administer=False),
        replace(failed, plan=replace(PLAN, services=(replace(NEED, administers=True),))),
        replace(failed, plan=replace(PLAN, services=(replace(NEED, supplied=False),))),
        replace(failed, lines=["permission denied for table books"]),
    ):
        found = find_mend(given)
        assert found is None or not found.administers


def test_needs_of_an_administrator_lead_to_the_other_server() -> None:
    shared, own = PreviewServer(None, None), PreviewServer(None, None)  # type: ignore[arg-type]  # not connected to
    both, alone = PreviewServers({NEED.kind: shared}, None, own), PreviewServers({NEED.kind: shared})
    wanted = replace(NEED, administers=True)
    assert (both.of([NEED]), both.of([wanted]), alone.of([wanted])) == ([shared], [own], [shared])
    assert both.reaches([wanted])[5432] == own.serve
    assert both.reaches([NEED])[5432] == shared.serve
    assert (both.can_be_administered, alone.can_be_administered) == (True, False)
    assert both.all() == [shared, own]


@pytest.mark.long
async def test_the_data_of_its_server_is_saved_and_brought_back(rig: Rig) -> None:
    shop = SHOP + '\n@app.get("/add")\ndef add(): return run("shop", "INSERT INTO books VALUES (\'Persuasion\')")\n'
    preview = await launch(rig, main__py=shop, requirements__txt=REQUIREMENTS)
    data, generation = rig.service.data, await rig.service.generations.get("g1")
    kept = await data.save(generation, "")
    await ask(preview, "/add")
    assert len((await ask(preview)).json()) == 2
    await data.restore(ANN, generation, kept.id)
    # Each start adds one.
    assert [row[0] for row in (await ask(preview)).json()][:1] == ["Emma"]
    assert "Persuasion" not in (await ask(preview)).text
