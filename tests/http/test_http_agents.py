"""An agent repairs a broken backend by tools alone, driven by the SDK's own client, over stdio and over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
from agents_kit import BROKEN, MENDED, NOT_STARTING, START, Agent, agent_over_http, agent_over_stdio, fact
from http_kit import World, open_world


async def repair(agent: Agent) -> None:
    """From a backend that does not start, to one whose failing route is mended."""
    failed = await agent.refused("launch", files={"main.py": NOT_STARTING, "preview.toml": START}, wait_s=60)
    assert "launch_failed" in failed
    assert "no database" in failed
    generation = fact(failed, "generation_id")
    assert "no database" in await agent.use("why", generation_id=generation)
    changed = await agent.use("reload", generation_id=generation, files={"main.py": BROKEN})
    assert "No preview is running" in changed
    before = int(fact(changed, "version"))
    launched = await agent.use("launch", generation_id=generation, wait_s=60)
    assert fact(launched, "status") == "running"

    # A request that fails, its lines, and the failure with its place.
    assert '"price": 9' in await agent.use("request", generation_id=generation, path="/price/dune")
    gone = await agent.refused("request", generation_id=generation, path="/price/ulysses")
    assert "request_id=" in gone
    listed = await agent.use("failures", generation_id=generation)
    assert "KeyError" in listed
    assert "main.py:" in listed
    failure = next(line.split()[0] for line in listed.splitlines() if "KeyError" in line)
    assert "PRICES[name]" in await agent.use("failures", generation_id=generation, failure=failure)
    recorded = await agent.use("requests", generation_id=generation)
    numbers = sorted(int(line.split()[0]) for line in recorded.splitlines() if " GET /" in line and line[0].isdigit())

    # The patch; a replay and a comparison show what it did.
    patched = await agent.use("reload", generation_id=generation, files={"main.py": MENDED})
    assert "serves the new files" in patched
    assert '"price": null' in await agent.use("request", generation_id=generation, path="/price/ulysses")
    replayed = await agent.use("replay", generation_id=generation, numbers=numbers)
    assert "ulysses" in replayed
    compared = await agent.use(
        "compare", generation_id=generation, version=before, other_version=before + 1, numbers=numbers
    )
    assert "broke" not in fact(compared, "verdict")
    assert "/ulysses" in compared
    plan = await agent.client.read_resource(f"preview://{generation}/plan")
    assert "python" in getattr(plan.contents[0], "text", "")
    assert "It is stopped." in await agent.use("stop", generation_id=generation)
    assert "stopped" in await agent.use("previews")


async def token_of(world: World, role: str) -> str:
    made = await world.ask("POST", "/api/v1/tokens", {"name": role, "role": role})
    token: str = made.json()["token"]
    return token


@pytest.mark.long
async def test_an_agent_repairs_a_backend_over_http(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, agent_over_http(world.url, await token_of(world, "launch")) as agent:
        await repair(agent)


async def test_an_agent_repairs_a_backend_over_stdio(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    async with open_world(tmp_path / "data") as world:
        token = await token_of(world, "launch")
        environment = {"PREVIEW_URL": world.url, "PREVIEW_TOKEN": token, "PREVIEW_DATA_DIR": str(tmp_path / "own")}
        async with agent_over_stdio(project, environment) as agent:
            await repair(agent)
            # Over stdio a folder may be named, below the root only.
            outside = tmp_path / "outside"
            outside.mkdir()
            (outside / "main.py").write_text("print('secret')")
            (project / "link").symlink_to(outside)
            for folder in (str(outside), "..", "link", "/"):
                assert "--root" in await agent.refused("launch", folder=folder)
            (project / "link").unlink()
            (project / "main.py").write_text(MENDED)
            (project / "preview.toml").write_text(START)
            launched = await agent.use("launch", folder=".", wait_s=60)
            assert fact(launched, "status") == "running"


async def test_the_tools_say_what_they_do(tmp_path: Path) -> None:
    from preview.agents.serving import make_server

    tools = {one.name: one for one in await make_server(takes_folders=False).list_tools()}
    assert len(tools) == 19
    for name, one in tools.items():
        assert one.annotations is not None
        assert one.description
        reads = bool(one.annotations.read_only_hint)
        assert reads == (name in {
            "wait", "status", "previews", "logs", "requests", "failures", "why", "endpoints", "sql", "snapshots",
        })  # fmt: skip
        assert bool(one.annotations.destructive_hint) == (name in {"request", "reload", "restore", "stop"})
    assert "folder" not in tools["launch"].input_schema["properties"]
