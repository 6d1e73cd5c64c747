"""The scope that the user's systemd gives an ordinary user's service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from user_session import in_session, python

from preview.cli.local import scope
from preview.cli.local.scope import NoScope, enter_scope

ENTER = """
import json, os, subprocess, sys
from pathlib import Path
from preview.cli.local.scope import enter_scope

def group():
    return [line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")][0][3:]

before = os.getpid(), os.getsid(0), os.getpgid(0), group()
refused = enter_scope()
unit = group().rpartition("/")[2]
shown = subprocess.run(["systemctl", "--user", "show", unit, "-p", "Delegate", "-p", "ActiveState"],
                       capture_output=True, text=True).stdout.split()
again = enter_scope()
after = os.getpid(), os.getsid(0), os.getpgid(0), group()
print(json.dumps({
    "before": before, "after": after, "unit": unit, "shown": shown, "read": sys.stdin.read(),
    "refused": refused and [refused.reason, refused.advice], "again": again and again.reason,
    "may_make": os.access("/sys/fs/cgroup" + group(), os.W_OK),
}))
sys.exit(7)
"""


def test_a_real_manager_moves_the_process_and_nothing_else_of_it_changes() -> None:
    done = in_session(*python(ENTER))
    assert done.returncode == 7, done.stderr
    found = json.loads(done.stdout)
    assert found["refused"] is None
    assert found["unit"].startswith("preview-")
    assert found["unit"].endswith(".scope")
    assert sorted(found["shown"]) == ["ActiveState=active", "Delegate=yes"]
    assert found["may_make"]
    assert found["before"][:3] == found["after"][:3]
    assert found["before"][3] != found["after"][3]
    # A second call finds the group, and asks for none.
    assert found["again"] is None
    assert found["after"][3].rpartition("/")[2] == found["unit"]


SERVE = """
import json, os, signal, subprocess, sys
from pathlib import Path

if "nohup" in sys.argv:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
if "linger" in sys.argv:
    import pwd
    Path("/var/lib/systemd/linger", pwd.getpwuid(os.geteuid()).pw_name).touch()
program = [sys.executable, "-c", "from preview.cli import main; main()", "serve", "--json", "--bind", "127.0.0.1:0"]
service = subprocess.Popen(program + [one for one in sys.argv if one.startswith("--")], stdout=subprocess.PIPE)
service.stdout.readline()
group = Path(f"/proc/{service.pid}/cgroup").read_text().splitlines()[-1].rpartition("/")[2]
listed = ["systemctl", "--user", "list-units", "--type=scope", "--plain", "--no-legend", "preview-*"]
during = subprocess.run(listed, capture_output=True, text=True).stdout.split()[:1]
service.send_signal(signal.SIGINT)
code = service.wait(60)
while subprocess.run(listed, capture_output=True, text=True).stdout.strip():
    pass
print(json.dumps([group, during, code]))
"""


@pytest.fixture
def folders(tmp_path: Path, shared_cache: Path) -> dict[str, str]:
    return {"PREVIEW_DATA_DIR": str(tmp_path / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}


def served(folders: dict[str, str], *how: str) -> tuple[str, list[str], int]:
    """Group of a service in a session, the scopes at that time, and its exit code after SIGINT."""
    done = in_session(*python(SERVE), *how, environment=folders)
    assert done.returncode == 0, done.stderr
    group, scopes, code = json.loads(done.stdout)
    return group, scopes, code


@pytest.mark.long
def test_a_service_runs_in_its_scope_which_ends_with_it(folders: dict[str, str]) -> None:
    group, scopes, code = served(folders)
    assert [group] == scopes
    assert code == 0


@pytest.mark.long
def test_with_no_scope_a_service_stays_in_the_session(folders: dict[str, str]) -> None:
    assert served(folders, "--no-scope") == ("session", [], 0)


@pytest.mark.long
@pytest.mark.parametrize("how", [pytest.param("--isolation=plain", marks=pytest.mark.long), "nohup"])
def test_a_service_stays_in_the_session_where_a_scope_gives_nothing_or_ends_too_early(
    how: str, folders: dict[str, str]
) -> None:
    assert served(folders, how) == ("session", [], 0)


@pytest.mark.long
def test_below_nohup_a_service_has_a_scope_where_the_user_lingers(folders: dict[str, str]) -> None:
    group, scopes, code = served(folders, "nohup", "linger")
    assert [group] == scopes
    assert code == 0


@pytest.mark.long
def test_doctor_looks_from_within_a_scope_as_the_service_does(folders: dict[str, str]) -> None:
    done = in_session(*python("from preview.cli import main; main()"), "doctor", "--json", environment=folders)
    checks = {one["name"]: one for one in json.loads(done.stdout)["checks"]}
    groups = checks["control groups"]
    # Below a manager without controllers the kernel refuses in the scope, not in the session.
    assert groups["result"] == "ok" or ".scope has no controller" in groups["found"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("source", "reason", "advice"),
    [
        ("os.environ['XDG_RUNTIME_DIR'] = '/nonexistent'", "no systemd manager runs", "loginctl enable-linger"),
        ("Path('/run/user/1000/bus').unlink()", "no D-Bus", "dbus-user-session"),
        ("os.environ['PATH'] = '/nonexistent'", "busctl is missing", "install the package systemd"),
        ("os.environ['TMUX'] = 'x'", "tmux", "loginctl enable-linger"),
    ],
)
def test_each_reason_against_a_scope_has_one_step_to_more(source: str, reason: str, advice: str) -> None:
    program = f"""
import os
from pathlib import Path
from preview.cli.local.scope import enter_scope
{source}
found = enter_scope()
print(found.reason, "->", found.advice)
"""
    done = in_session(*python(program))
    said, _, way_out = done.stdout.strip().partition(" -> ")
    assert reason in said, done.stderr
    assert advice in way_out


def test_without_systemd_the_reason_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scope, "_SYSTEMD_RUNS", tmp_path / "none")
    monkeypatch.setattr("os.geteuid", lambda: 1234)
    monkeypatch.setattr(scope, "_is_delegated", lambda: False)
    assert enter_scope() == NoScope("this machine does not run systemd", "")
