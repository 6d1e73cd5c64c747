"""A project's image in its container: its working folder, its user, and its health check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from engine_kit import engine_or_skip
from image_kit import BASE, SERVER, import_base
from launch_kit import Rig, ask, open_rig, story
from sqlalchemy import text

from preview.core.lifecycle import Health, State
from preview.detection import Server, StartPlan, Toolchain
from preview.settings import Settings
from preview.sources.image_source import ImageSource
from preview.supervisor import LivePreview

PLAN = StartPlan(
    "dockerfile", Toolchain.IMAGE, Server.COMMAND, None, dockerfile="Dockerfile", image=ImageSource("Dockerfile")
)
# In a program's words: where it may write, who it is, and whether it can fill the machine.
LOOK = r"""
$| = 1;
my ($name, undef, undef, undef, undef, undef, undef, $home) = getpwuid($<);
print "user $name at $home, HOME $ENV{HOME}\n";
print "no root\n" if $< != 0 && !POSIX_setuid();
sub POSIX_setuid { $> = 0; return $> == 0 }
open(my $in, "<", "kept/word"); print "kept ", <$in>; close $in;
print "owned\n" if -o "kept/word";
print "link ", readlink("link"), "\n";
open(my $out, ">>", "kept/word") or print "read-only\n"; print $out "x"; close $out;
open($out, ">", "/root-file") and print "root written\n";
open($out, ">", "big"); my $sum = 0;
while (my $n = syswrite $out, "x" x 1048576) { $sum += $n; last if $sum > 1 << 30 }
print "filled ", ($sum >> 20) < 40 ? "some" : "all", "\n";
close $out; unlink "big";
"""
FILES = {
    "Dockerfile": (
        f"FROM {BASE}\nRUN mkdir -p /app/kept /etc && echo built > /app/built\n"
        "RUN echo 'node:x:1000:1000:Node:/app:/bin/sh' > /etc/passwd && echo word > /app/kept/word\n"
        'RUN perl -e \'symlink("kept", "/app/link"); link("/app/built", "/app/hard"); chmod 0400, "/app/kept/word"\'\n'
        "WORKDIR /app\nCOPY server.pl /\nUSER node\nEXPOSE 80\n"
        'HEALTHCHECK --interval=1s --retries=1 CMD perl -e "exit(-e q(/app/hard) ? 0 : 3)"\n'
        'CMD ["perl", "/server.pl", "80"]\n'
    ),
    "server.pl": LOOK + SERVER,
}


@pytest.fixture
async def image_rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> object:
    engine = engine_or_skip()
    await import_base(engine)
    monkeypatch.setattr("preview.environments.images.built._LEAST_INTERVAL_S", 0.1)
    settings = make_settings_in(
        cache_dir=launch_cache_dir,
        stop_grace_s=2,
        container_engine=f"unix://{engine}",
        temp_limit_mb=16,
        liveness_interval_s=0.2,
    )
    with trio.fail_after(240):
        async with open_rig(settings, monkeypatch) as rig:
            yield rig


async def wait_for(preview: LivePreview, health: Health) -> None:
    while preview.record.health is not health:  # noqa: ASYNC110  a record has no event
        await trio.sleep(0.05)


async def test_an_image_writes_to_its_own_folder_as_its_user_and_no_further(image_rig: Rig) -> None:
    preview = await image_rig.start(FILES, PLAN)
    assert preview.record.state is State.RUNNING, "\n".join(story(preview)[-30:])
    assert (await ask(preview)).text == "built\n"
    lines = story(preview)
    after = lines[next(at for at, line in enumerate(lines) if line.startswith("environment ready")) :]
    for said in ("user node at /app, HOME /app", "no root", "kept word", "owned", "link kept", "filled some"):
        assert said in after, after
    assert not {"read-only", "root written"} & set(after), after
    await wait_for(preview, Health.HEALTHY)
    await image_rig.service.previews.stop("g1")


@pytest.mark.long
async def test_a_folder_that_a_link_leads_to_or_that_is_too_large_stays_read_only(image_rig: Rig) -> None:
    hostile = {
        "/etc": ("", "each container has a folder there already"),
        "/proc/sys": ("", "each container has a folder there already"),
        "/link/app": ('RUN perl -e \'mkdir "/link2"; symlink("/etc", "/link")\'\n', "a link leads to it"),
        "/large": ("RUN mkdir -p /large && dd if=/dev/zero of=/large/a bs=1024k count=20\n", "more than 16 MiB"),
    }
    for folder, (steps, said) in hostile.items():
        dockerfile = (
            f"FROM {BASE}\n{steps}WORKDIR {folder}\nCOPY server.pl /\nRUN mkdir -p /app && echo b > /app/built\n"
        )
        files = {"Dockerfile": f'{dockerfile}EXPOSE 80\nCMD ["perl", "/server.pl", "80"]\n', "server.pl": SERVER}
        preview = await image_rig.start(files, PLAN)
        lines = story(preview)
        assert any("is read-only: " in line and said in line for line in lines), lines
        await image_rig.service.previews.stop("g1")


HOSTILE_CHECK = r"""
my $n = 0; my $file = "/app/n";
if (open(my $in, "<", $file)) { $n = <$in>; close $in }
open(my $out, ">", $file); print $out $n + 1; close $out;
exit 0 if $n == 0;
# It leaves a process, prints much, wants the first process's descriptors, and does not end.
if ($n == 1) { fork or exec "sleep", "1000"; print "x" x 4000, "\n" for 1 .. 2000; exit 0 }
if ($n == 2) { open(my $to, ">", "/proc/1/fd/1") and print $to "reached\n"; exit 0 }
if ($n == 3) { $SIG{TERM} = "IGNORE"; sleep 1000 }
print "sick here\n"; exit 3;
"""


@pytest.mark.long
async def test_a_health_check_is_bounded_and_its_status_is_the_health(image_rig: Rig) -> None:
    files = {
        "Dockerfile": (
            f"FROM {BASE}\nRUN mkdir -p /app && echo built > /app/built\nWORKDIR /app\nCOPY *.pl /\nEXPOSE 80\n"
            'HEALTHCHECK --interval=1s --timeout=1s --retries=1 CMD ["perl", "/check.pl"]\n'
            'CMD ["perl", "/server.pl", "80"]\n'
        ),
        "server.pl": SERVER,
        "check.pl": HOSTILE_CHECK,
    }
    preview = await image_rig.start(files, PLAN)
    assert preview.record.state is State.RUNNING, "\n".join(story(preview)[-30:])
    await wait_for(preview, Health.UNHEALTHY)
    while preview.check_fault is None or "ended with 3: sick here" not in preview.check_fault.reason:  # noqa: ASYNC110
        await trio.sleep(0.05)
    assert [line for line in story(preview) if line.startswith("unhealthy: the image's health check ")]
    query = text("SELECT health_status FROM preview_instances WHERE id = :id")
    while (  # noqa: ASYNC110  the table has no event
        await image_rig.service.database.read(lambda one: one.execute(query, {"id": preview.id}).scalar())
    ) != "unhealthy":
        await trio.sleep(0.05)
    assert "reached" not in story(preview)
    assert (await ask(preview)).text == "built\n"
    await image_rig.service.previews.stop("g1")
