"""The unit of `preview deploy init`: what systemd says of it, and previews under the same restrictions made by hand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_service import PROGRAM

from preview.cli.deploying.choices import make_deployment
from preview.cli.deploying.files import make_files

_ROOT = Path(__file__).parents[2]
_NOBODY = 65534
# RestrictAddressFamilies, LockPersonality, RestrictRealtime, SystemCallArchitectures; then the program.
_RESTRICT = """
import os, socket, sys
import pyseccomp as s
rules = s.SyscallFilter(s.ALLOW)
for family in range(64):
    if family not in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
        rules.add_rule(s.ERRNO(97), "socket", s.Arg(0, s.EQ, family))
rules.add_rule(s.ERRNO(1), "personality", s.Arg(0, s.NE, 0))
rules.add_rule(s.ERRNO(1), "sched_setscheduler", s.Arg(1, s.NE, 0))
rules.load()
os.execv(sys.argv[1], sys.argv[1:])
"""


def unit() -> str:
    made = make_files(make_deployment(kind="systemd", domain="preview.example.com"))
    (found,) = [file.content for file in made if file.name == "preview.service"]
    return found


def test_systemd_rates_the_documented_unit_as_the_document_says(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    file = tmp_path / "preview.service"
    file.write_text(re.sub("ExecStart=.*", "ExecStart=/bin/true", unit()))
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=48", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd older than 250")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def restricted(tmp_path: Path) -> list[str]:
    """What puts a program under the unit's restrictions, as another user; the state folder alone can be written."""
    prefixes = {Path(one) for one in (sys.prefix, sys.base_prefix, str(_ROOT))}
    shown = [part for one in sorted(prefixes) for part in ("--ro-bind", str(one), str(one))]
    hidden = (Path.home(), Path("/tmp"))
    above = {parent for one in (*prefixes, tmp_path) for parent in one.parents}
    shown_above = sorted(one for one in above if any(one.is_relative_to(root) and one != root for root in hidden))
    stage = ["bwrap", "--die-with-parent", "--unshare-ipc", "--ro-bind", "/", "/", "--dev", "/dev", "--bind", "/proc"]
    stage += ["/proc", "--perms", "0755", "--tmpfs", str(Path.home()), "--perms", "1777", "--tmpfs", "/tmp"]
    stage += [part for one in shown_above for part in ("--perms", "0755", "--dir", str(one))]
    stage += [*shown, "--bind", str(tmp_path), str(tmp_path)]
    stage += [part for one in ("SETUID", "SETGID", "SETPCAP") for part in ("--cap-add", f"CAP_{one}")]
    user = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--no-new-privs"]
    return [*stage, "--", *user, "--bounding-set=-all", "--", sys.executable, "-c", _RESTRICT]


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without rights")
def test_previews_start_in_a_sandbox_under_the_units_restrictions(tmp_path: Path) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("no bubblewrap")
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.py").write_text(
        "import os\nstatus = open('/proc/self/status').read()\n"
        "print('seen', os.getuid(), 'NoNewPrivs:\\t1' in status, flush=True)\n"
        "raise SystemExit(3)\n"
    )
    for one in (tmp_path, project, project / "main.py"):
        os.chown(one, _NOBODY, _NOBODY)
    for one in tmp_path.parents:
        if one.stat().st_mode & 0o777 == 0o700:
            one.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREVIEW_", "UV_"))}
    environment |= {"HOME": str(tmp_path), "PREVIEW_DATA_DIR": str(tmp_path / "data"), "TMPDIR": "/tmp"}
    environment |= {"PREVIEW_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [*restricted(tmp_path), sys.executable, *PROGRAM[1:], "run", str(project), "--command", "python main.py"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert "isolation: sandbox" in done.stdout, done.stdout + done.stderr
    assert "seen 1000 True" in done.stdout, done.stdout + done.stderr
