"""The client against a real service with a real preview."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio
import pytest
from client_kit import FILES, Service, run_async, serving

from preview.client import AsyncClient, Call, Client, End, InvalidUpload, Line, PreviewProblem, Status


def test_a_folder_is_launched_called_changed_and_stopped(service: Service, tmp_path: Path) -> None:
    for path, text in FILES.items():
        (tmp_path / path).write_text(text)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "x.js").write_text("x")
    with Client(service.url, service.token) as client:
        preview = client.launch(tmp_path, name="shop", wait=60)
        assert preview.status().status == "running"
        answer = preview.request("GET", "/books", query={"page": 2})
        assert (answer.status_code, answer.json()["path"]) == (200, "/books?page=2")
        assert [line.message for line in answer.lines()] == ["asked for /books?page=2"]
        assert preview.request("POST", "/x", body=b"\x00\xff").content == b"\x00\xff"
        (tmp_path / "main.py").write_text(FILES["main.py"].replace('"mode"', '"changed"'))
        changed = preview.reload(tmp_path)
        assert (changed.changed, changed.reload.status) == (["main.py"], "reloaded")
        assert "changed" in preview.request("GET", "/").json()
        assert preview.reload({"notes.txt": "n"}).changed == ["notes.txt"]
        assert preview.reload({}, ("notes.txt",)).removed == ["notes.txt"]
        saved = preview.snapshot("first")
        assert [one.name for one in preview.snapshots()] == ["first"]
        assert preview.restore(saved).before.kind == "before_restore"
        assert preview.set_env({"MODE": "set"}).effective[0].value == "set"
        preview.restart(wait=60)
        assert preview.request("GET", "/").json()["changed"] == "set"
        assert preview.set_env(unset=("MODE",)).effective == preview.env().effective == []
        targets = [one.target for one in preview.requests(limit=3).items]
        assert targets[0] == "/"
        assert preview.failures() == []
        assert preview.endpoints().complete in (True, False)
        assert client.previews().previews[0].generation_id == preview.generation_id
        preview.stop()
        preview.stop()
        assert next(event for event in preview.log(tail=1) if isinstance(event, End)).status == "stopped"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_log_of_a_launch_is_typed_and_ends(service: Service, backend: str) -> None:
    async def story() -> list[object]:
        async with AsyncClient(service.url, service.token) as client:
            preview = await client.launch(FILES, name="typed", env={"MODE": "async"})
            assert (await preview.wait_ready(60)).status == "running"
            assert (await preview.request("GET", "/")).json()["mode"] == "async"
            async with client.events(Call("GET", "/events", headers={"Accept": "text/event-stream"})) as of_user:
                assert (await anext(of_user)).event == "start"
            answer = await preview.request("GET", "/two")
            assert [line.message for line in await answer.lines()] == ["asked for /two"]
            events: list[object] = []
            async with preview.log() as log:
                async for event in log:
                    events.append(event)
                    if isinstance(event, Line) and event.message == "asked for /two":
                        await preview.stop()
            return events

    events = run_async(story, backend)
    assert isinstance(events[-1], End)
    numbers = [event.seq for event in events if isinstance(event, Line)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert "asked for /two" in [event.message for event in events if isinstance(event, Line)]
    assert any(isinstance(event, Status) for event in events)


def test_a_failed_launch_is_a_problem_with_its_facts(service: Service) -> None:
    with Client(service.url, service.token) as client:
        with pytest.raises(PreviewProblem) as caught:
            client.launch({"main.py": "raise SystemExit(3)", "preview.toml": FILES["preview.toml"]}, wait=30)
        assert caught.value.code == "launch_failed"
        preview = client.preview(str(caught.value.details["generation_id"]))
        assert preview.status().exit_code == 3
        with pytest.raises(PreviewProblem) as caught:
            preview.wait_ready(1)
        preview.remove()
        with pytest.raises(PreviewProblem) as caught:
            preview.status()
        assert (caught.value.code, caught.value.status) == ("generation_not_found", 404)


def test_what_is_no_project_is_refused_here(service: Service, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with Client(service.url, service.token) as client:
        for source, said in (
            ({}, "no files"),
            (tmp_path / "none", "does not exist"),
            (tmp_path, "points outside the folder"),
        ):
            with pytest.raises(InvalidUpload, match=said):
                client.launch(source)
        with pytest.raises(ValueError, match="not a generation's id"):
            client.preview("../x")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_log_goes_on_over_a_killed_and_restarted_service(tmp_path: Path, backend: str) -> None:
    with serving(tmp_path) as service:
        numbers: list[int] = []

        async def story() -> End:
            async with AsyncClient(service.url, service.token) as client:
                preview = await client.launch(FILES, name="ticking", env={"MODE": "ticking"}, wait=60)
                async for event in preview.log():
                    if isinstance(event, End):
                        return event
                    if isinstance(event, Line):
                        numbers.append(event.seq)
                        if len(numbers) == 50:
                            service.kill()
                            await anyio.to_thread.run_sync(service.start)
            raise AssertionError("no end")

        end = run_async(partial(_in_time, story), backend)
        # Dense from 1 to the last line that the service still had.
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 50
        assert end.status in ("failed", "stopped")


async def _in_time(story: object) -> End:
    with anyio.fail_after(60):
        return await story()  # type: ignore[operator,no-any-return]
