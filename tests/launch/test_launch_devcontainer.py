"""A project that starts in its development container: by a build, and by an image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from engine_kit import engine_or_skip
from image_kit import BASE, SERVER, import_base
from launch_kit import ask, open_rig, says, story

from preview.core.lifecycle import State
from preview.detection import detect
from preview.settings import Settings

# With comments, as editors write it.
BUILT = """\
{
  // Starts the server of the project.
  "build": {"dockerfile": "Dockerfile", "context": "..", "args": {"WORD": "built"}},
  "workspaceFolder": "/work",
  "forwardPorts": [8085],
  "containerEnv": {"GREETING": "hello from the file"},
  "postCreateCommand": "cat word > created && mkdir -p /app && cat created > /app/built",
  "postStartCommand": ["perl", "server.pl", "8085"]
}
"""
OF_AN_IMAGE = """\
{"image": "%s", "appPort": "9000:8086", "postCreateCommand": "mkdir -p /app; echo image > /app/built",
 "remoteEnv": {"GREETING": "hello from the image"}, "postStartCommand": "exec perl server.pl 8086"}
"""
LOOK = 'print "$ENV{GREETING}\\n"; open(my $o, ">", "made") and print "writable\\n";\n'


@pytest.mark.long
async def test_a_development_container_is_built_prepared_and_served(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_or_skip()
    await import_base(engine)
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, container_engine=f"unix://{engine}")
    dockerfile = f"FROM {BASE}\nARG WORD\nRUN echo $WORD > /word\n"
    common = {"server.pl": "$| = 1;\n" + LOOK + SERVER, "word": "created\n", "go.mod": "module x\n"}
    projects = {
        "hello from the file": (
            {".devcontainer/devcontainer.json": BUILT, ".devcontainer/Dockerfile": dockerfile},
            8085,
        ),
        "hello from the image": ({".devcontainer.json": OF_AN_IMAGE % BASE}, 8086),
    }
    with trio.fail_after(300):
        async with open_rig(settings, monkeypatch) as rig:
            for greeting, (own, port) in projects.items():
                files = {**common, **own}
                folder = tmp_path / str(port)
                for name, text in files.items():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_text(text)
                preview = await rig.start(files, detect(folder))
                assert preview.record.state is State.RUNNING, "\n".join(story(preview)[-12:])
                assert (await ask(preview)).text == ("created\n" if port == 8085 else "image\n")
                await says(preview, greeting)
                await says(preview, "writable")
                lines = story(preview)
                assert any(line.startswith(f"up at {port} as ") for line in lines), lines
                # The command of the preparation is a step of the build.
                assert any("RUN " in line and "/app/built" in line for line in lines), lines
                await rig.service.previews.stop("g1")
