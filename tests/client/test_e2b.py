"""E2B's own Python SDK against this service: its examples, unchanged but for the address."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from client_kit import Service, serving
from e2b import (
    AuthenticationException,
    CommandExitException,
    NotFoundException,
    Sandbox,
    SandboxQuery,
    SandboxState,
)
from e2b.exceptions import RateLimitException, SandboxException

from preview.http.e2b import is_for_e2b


@pytest.fixture(scope="module")
def e2b(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A real service with E2B's API, and the variables that an SDK reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREVIEW_E2B", "true")
        patch.setenv("PREVIEW_E2B_SANDBOXES", "3")
        with serving(tmp_path_factory.mktemp("e2b")) as service:
            patch.setenv("E2B_API_URL", f"{service.url}/e2b/api")
            patch.setenv("E2B_SANDBOX_URL", f"{service.url}/e2b/sandbox")
            patch.setenv("E2B_API_KEY", service.token)
            patch.setenv("E2B_VALIDATE_API_KEY", "false")
            yield service


@pytest.fixture
def sandbox(e2b: Service) -> Iterator[Sandbox]:
    made = Sandbox.create()
    yield made
    made.kill()


def test_the_first_example_of_the_sdk(e2b: Service) -> None:
    sandbox = Sandbox.create()
    result = sandbox.commands.run('echo "Hello from E2B!"')
    assert result.stdout == "Hello from E2B!\n"
    assert sandbox.is_running()
    assert sandbox.kill() is True
    assert not sandbox.is_running()
    assert sandbox.kill() is False


def test_files_and_commands_see_the_same(sandbox: Sandbox) -> None:
    written = sandbox.files.write("notes/hello.txt", "hi ü")
    assert (written.path, written.name) == ("/home/user/notes/hello.txt", "hello.txt")
    assert sandbox.files.read("notes/hello.txt") == "hi ü"
    assert sandbox.commands.run("cat /home/user/notes/hello.txt && pwd").stdout == "hi ü/home/user\n"
    sandbox.commands.run("printf '\\377\\000' > raw; mkdir sub; ln -s raw link")
    assert sandbox.files.read("raw", format="bytes") == b"\xff\x00"
    assert [one.name for one in sandbox.files.list("/home/user")] == ["link", "notes", "raw", "sub"]
    assert sandbox.files.get_info("raw").size == 2
    assert sandbox.files.exists("raw")
    sandbox.files.rename("raw", "deep/down/other")
    sandbox.files.remove("notes")
    assert not sandbox.files.exists("raw")
    assert not sandbox.files.exists("notes")
    assert sandbox.files.make_dir("made") is True
    assert sandbox.files.make_dir("made") is False
    many = [{"path": f"many/{one}.txt", "data": str(one)} for one in range(3)]
    assert len(sandbox.files.write_files(many)) == 3  # type: ignore[arg-type]  # a TypedDict
    assert len(sandbox.files.list("/home/user", depth=2)) == 9
    # One place for all commands, as on a machine.
    sandbox.commands.run("echo x > /tmp/x")
    assert sandbox.files.read("/tmp/x") == "x\n"


def test_a_command_has_two_outputs_a_status_and_variables(sandbox: Sandbox) -> None:
    said: list[str] = []
    result = sandbox.commands.run(
        "echo out; echo err >&2; echo $ONE", envs={"ONE": "1"}, cwd="/", on_stdout=said.append
    )
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n1\n", "err\n", 0)
    assert "".join(said) == "out\n1\n"
    with pytest.raises(CommandExitException) as caught:
        sandbox.commands.run("echo no >&2; exit 3")
    assert (caught.value.exit_code, caught.value.stderr) == (3, "no\n")


def test_a_command_in_the_background_is_listed_and_killed(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("echo started; sleep 1000", background=True)
    assert [(one.pid, one.args[-1]) for one in sandbox.commands.list()] == [(handle.pid, "echo started; sleep 1000")]
    assert sandbox.commands.kill(handle.pid) is True
    with pytest.raises(CommandExitException):
        handle.wait()
    assert sandbox.commands.list() == []
    assert sandbox.commands.kill(handle.pid) is False


def test_a_sandbox_is_found_connected_to_and_given_time(e2b: Service) -> None:
    made = Sandbox.create(timeout=60, metadata={"for": "a test"}, envs={"TWO": "2"})
    try:
        query = SandboxQuery(metadata={"for": "a test"}, state=[SandboxState.RUNNING])
        assert [one.sandbox_id for one in Sandbox.list(query=query).next_items()] == [made.sandbox_id]
        assert Sandbox.list(query=SandboxQuery(metadata={"for": "another"})).next_items() == []
        same = Sandbox.connect(made.sandbox_id)
        assert same.commands.run("echo $TWO").stdout == "2\n"
        before = made.get_info()
        made.set_timeout(600)
        after = made.get_info()
        assert (after.end_at - before.end_at).total_seconds() > 60
        assert after.metadata == {"for": "a test"}
    finally:
        made.kill()
    with pytest.raises(NotFoundException):
        Sandbox.connect(made.sandbox_id)


def test_a_sandbox_ends_when_its_time_is_over(e2b: Service) -> None:
    made = Sandbox.create()
    handle = made.commands.run("sleep 1000", background=True)
    made.set_timeout(0)
    with pytest.raises((SandboxException, CommandExitException)):
        handle.wait()
    assert made.kill() is False


def test_what_is_not_covered_says_so(e2b: Service, sandbox: Sandbox) -> None:
    raw = httpx2.post(
        f"{e2b.url}/e2b/api/sandboxes", json={"templateID": "another-template"}, headers={"X-API-Key": e2b.token}
    )
    assert (raw.status_code, "not covered" in raw.text) == (501, True)
    for act in (
        lambda: sandbox.commands.run("cat", stdin=True),
        sandbox.pause,
        lambda: sandbox.files.watch_dir("."),
        lambda: Sandbox.create("another-template"),
        lambda: sandbox.commands.run("id", user="root"),
        sandbox.get_metrics,
    ):
        with pytest.raises(SandboxException, match="not covered"):
            act()


def test_a_key_that_is_no_token_is_refused(e2b: Service) -> None:
    with pytest.raises(AuthenticationException):
        Sandbox.create(api_key="e2b_nonsense")


def test_a_user_has_so_many_sandboxes(e2b: Service) -> None:
    made = [Sandbox.create() for _ in range(3)]
    try:
        with pytest.raises(RateLimitException, match="PREVIEW_E2B_SANDBOXES"):
            Sandbox.create()
    finally:
        for one in made:
            one.kill()


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [("/e2b/api/x", "", True), ("/tools/e2b/api/x", "/tools", True), ("/e2b", "", False), ("/api/e2b/x", "", False)],
)
def test_the_prefix_is_found_in_a_mounted_application_too(path: str, root: str, *, expected: bool) -> None:
    assert is_for_e2b({"type": "http", "path": path, "root_path": root}) is expected
    assert not is_for_e2b({"type": "websocket", "path": path, "root_path": root})
