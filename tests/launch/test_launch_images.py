"""Projects that start by their Dockerfile: built, run, asked, and refused where no engine is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from engine_kit import engine_or_skip, is_podman
from image_kit import BASE, SERVER, import_base
from launch_kit import Rig, ask, open_rig, says, story

from preview.core.lifecycle import State
from preview.detection import Server, StartPlan, Toolchain
from preview.errors import InvalidGeneration
from preview.runtime import ProcessSpec, RunImage, limits_of
from preview.runtime.sandbox.runtime import owned
from preview.settings import Settings
from preview.sources.image_source import ImageSource

FILES = {
    "Dockerfile": f"FROM {BASE}\nWORKDIR /app\nCOPY . .\nRUN cat word > built\nEXPOSE 80\nCMD perl server.pl 80\n",
    "server.pl": SERVER,
    "word": "built here",
}
PLAN = StartPlan(
    "dockerfile", Toolchain.IMAGE, Server.COMMAND, None, dockerfile="Dockerfile", image=ImageSource("Dockerfile")
)


async def test_a_project_with_a_dockerfile_is_built_and_served_at_its_own_port(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_or_skip()
    await import_base(engine)
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, container_engine=f"unix://{engine}")
    with trio.fail_after(180):
        async with open_rig(settings, monkeypatch) as rig:
            preview = await rig.start(FILES, PLAN)
            assert preview.record.state is State.RUNNING, "\n".join(story(preview)[-12:])
            assert (await ask(preview)).text == "built here"
            lines = story(preview)
            first = "STEP 1/8: FROM docker.io/preview-test/base:latest" if is_podman() else f"Step 1/8 : FROM {BASE}"
            assert first in lines, lines
            # A user of its own, as in every container, and no root.
            assert any(line.startswith("up at 80 as ") and not line.endswith(" as 0") for line in lines), lines
            assert preview.confinement is not None
            assert preview.confinement.runtime == "container"
            await rig.service.previews.stop("g1")


LOOK = r"""
for my $file (qw(/proc/net/dev /proc/net/route /proc/net/unix /proc/mounts)) {
    open(my $in, "<", $file); print map { "$file: $_" } <$in>; close $in;
}
print "made\n" if open(my $out, ">", "/data/x");
"""


@pytest.mark.long
async def test_an_image_of_an_attacker_reaches_neither_our_programs_nor_a_network_nor_the_disk(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_or_skip()
    client = await import_base(engine)
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, container_engine=f"unix://{engine}")
    dockerfile = (
        f"FROM {BASE}\nENV LD_PRELOAD=/own.so LD_LIBRARY_PATH=/own PYTHONHOME=/own PORT=abc\n"
        "RUN mkdir -p /app /etc && echo built > /app/built && echo /listed.so > /etc/ld.so.preload\n"
        # As in real images: the service's own files may lie below such a folder.
        "RUN perl -e 'mkdir(\"/root\", 0700)'\n"
        'COPY server.pl /\nEXPOSE 80\nVOLUME /data /tmp\nENTRYPOINT ["/bin/perl", "/server.pl", "80"]\n'
    )
    hostile = {"Dockerfile": dockerfile, "server.pl": LOOK + SERVER}
    with trio.fail_after(180):
        async with open_rig(settings, monkeypatch) as rig:
            preview = await rig.start(hostile, PLAN)
            assert preview.record.state is State.RUNNING, "\n".join(story(preview)[-12:])
            assert (await ask(preview)).text == "built\n"
            await says(preview, "made")
            lines = story(preview)
            # The program alone has the image's variables, so its loader alone complains, once; the build's are before.
            after = lines[next(at for at, line in enumerate(lines) if line.startswith("environment ready")) :]
            assert sum("/own.so" in line for line in after) == 1, after
            assert not any("/listed.so" in line for line in after), after
            [container] = await client.labelled(f"preview.id={preview.id}")
            assert await client.last_words(container) == ""
            devices = [line for line in after if line.startswith("/proc/net/dev: ") and line.count(":") > 1]
            assert [line.split(":")[1].strip() for line in devices] == ["lo"], after
            assert sum(line.startswith("/proc/net/route: ") for line in after) == 1, "no route, only the table's head"
            mounts = [line.split()[1:4] for line in after if line.startswith("/proc/mounts: ")]
            assert {tuple(one[1:]) for one in mounts if one[1] in ("/data", "/tmp")} == {
                ("/data", "tmpfs"),
                ("/tmp", "tmpfs"),
            }
            await rig.service.previews.stop("g1")
            for volume in ("/data/../etc2", "/proc/x", "/run/preview-join", "/dev/shm/x"):
                refused = {**hostile, "Dockerfile": dockerfile.replace("/data /tmp", volume)}
                found = await rig.start(refused, PLAN)
                assert found.record.state is State.FAILED
                assert any("its volume " in line for line in story(found)), story(found)
            assert not (await client.call("GET", "/volumes"))["Volumes"]  # type: ignore[index]


async def test_without_an_engine_such_a_project_is_refused_with_a_sentence(rig: Rig) -> None:
    with pytest.raises(InvalidGeneration, match="starts by its Dockerfile, and this service offers no containers"):
        await rig.start(FILES, PLAN)


def test_the_working_folder_of_an_image_is_no_folder_of_this_machine(tmp_path: Path) -> None:
    limits = limits_of(Settings(data_dir=tmp_path))
    spec = ProcessSpec("p", ["x"], Path("/etc"), {}, None, limits, writable=(tmp_path,), image=RunImage("x"))
    assert owned(spec) == (tmp_path,)
