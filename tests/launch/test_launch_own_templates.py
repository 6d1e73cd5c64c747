"""Packages that a project brings itself are imported in no template that another owner, or project, is forked from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from launch_kit import ANN, MemorySource, ask, story, target
from planned_kit import give_plan, take_plans

from preview.core.clock import utc_now
from preview.core.lifecycle import State
from preview.detection import Server, StartPlan, Toolchain
from preview.generations import Generation
from preview.runtime.warm import WarmRuntime
from preview.service import Service, open_service
from preview.settings import Settings
from preview.supervisor import LaunchRequest, User

LIMIT_S = 150
BOB = User("bob", "enterprise")
# Who has imported it is marked: forks of one template have one mark.
ODD = "import builtins, os\nbuiltins.MARK = os.urandom(8).hex()\n"
BACKEND = f"""
import os, zipfile
FILES = {{
    "odd.py": {ODD!r},
    "odd-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: odd\\nVersion: 1\\n",
    "odd-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "odd-1.dist-info/RECORD": "",
}}
def build_wheel(directory, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(os.path.join(directory, "odd-1-py3-none-any.whl"), "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    return "odd-1-py3-none-any.whl"
"""
OWN_PACKAGE = {
    "vendor/odd/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    '[project]\nname = "odd"\nversion = "1"\n',
    "vendor/odd/backend.py": BACKEND,
}
APP = """
import builtins
from flask import Flask
IMPORTS
app = Flask(__name__)
@app.get("/")
def home(): return getattr(builtins, "MARK", "none")
"""
OF_INDEX = {"requirements.txt": "flask\n", "app.py": APP.replace("IMPORTS", "")}
OWN = {**OWN_PACKAGE, "requirements.txt": "flask\n./vendor/odd\n", "app.py": APP.replace("IMPORTS", "import odd")}
PLAN = StartPlan("flask", Toolchain.PYTHON, Server.WSGI, target("app", "app", framework="flask"))


class OwnedSource(MemorySource):
    """Generations named ``OWNER.PROJECT``."""

    async def get(self, generation_id: str) -> Generation:
        await trio.lowlevel.checkpoint()
        owner, _, project = generation_id.partition(".")
        return Generation(generation_id, project, owner, utc_now())


@dataclass
class Owners:
    """A service with two owners."""

    service: Service
    source: OwnedSource
    files: Mapping[str, str]

    @property
    def ready(self) -> list[str]:
        """Keys of the templates."""
        runtime = self.service.previews._context.runtime
        assert isinstance(runtime, WarmRuntime)
        return runtime.templates.ready

    async def mark(self, user: User, project: str) -> tuple[str, str]:
        """How a launch of the project was started, and which mark it finds."""
        generation = f"{user.id}.{project}"
        self.source.projects[generation] = self.files
        launched = await self.service.previews.launch(LaunchRequest(user, generation))
        preview = self.service.previews.find(launched.record.id)
        assert preview is not None
        await preview.settled.wait()
        assert preview.record.state is State.RUNNING, story(preview)
        answer = (await ask(preview)).text
        how = next(line for line in story(preview) if line.startswith("started "))
        await self.service.previews.stop(generation)
        return how.partition(":")[0], answer

    async def forked(self, user: User, project: str, templates: int) -> str:
        """The mark of a launch that is forked, of so many templates in all."""
        await self.mark(user, project)
        while len(self.ready) != templates:  # noqa: ASYNC110  a pool tells nobody that a template is ready
            await trio.sleep(0.01)
        how, mark = await self.mark(user, project)
        assert how == "started warm"
        return mark


@pytest.fixture
async def open_owners(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[Mapping[str, str]], Owners]]:
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, warm_templates=4)
    take_plans(monkeypatch)
    give_plan(monkeypatch, PLAN)
    source = OwnedSource()
    with trio.fail_after(LIMIT_S):
        async with open_service(settings, generations=source) as service:
            if not isinstance(service.previews._context.runtime, WarmRuntime):
                pytest.skip("no template can be made on this machine")
            yield lambda files: Owners(service, source, files)


@pytest.mark.long
async def test_two_owners_whose_projects_bring_the_same_package_have_a_template_each(
    open_owners: Callable[[Mapping[str, str]], Owners],
) -> None:
    owners = open_owners(OWN)
    anns = await owners.forked(ANN, "shop", 1)
    assert anns != "none"
    assert await owners.mark(ANN, "shop") == ("started warm", anns)
    bobs = await owners.forked(BOB, "shop", 2)
    other = await owners.forked(ANN, "other", 3)
    assert len({anns, bobs, other}) == 3
    # An environment for each owner, a template for each project: all of these are as they were.
    assert len({key.partition("-")[0] for key in owners.ready}) == 2
    assert await owners.mark(BOB, "shop") == ("started warm", bobs)
    assert await owners.mark(ANN, "shop") == ("started warm", anns)


async def test_two_owners_who_require_packages_of_the_index_alone_share_a_template(
    open_owners: Callable[[Mapping[str, str]], Owners],
) -> None:
    owners = open_owners(OF_INDEX)
    await owners.forked(ANN, "shop", 1)
    assert await owners.mark(BOB, "shop") == ("started warm", "none")
    assert len(owners.ready) == 1
