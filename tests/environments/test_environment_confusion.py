"""Dependency confusion: what names where it comes from is never replaced by a package of its name in an index.

In each test the service's index has a package of that name, a stranger's; the project imports it, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import trio
from environment_kit import Said, write_wheel
from index_kit import Index, open_index
from registry_kit import open_registry

from preview.environments import EnvironmentCache, EnvironmentRequest
from preview.environments.node.build import NodeEnvironmentCache
from preview.environments.way_out.allowed import NODE_REGISTRY, PYTHON_INDEX, PYTHON_INDEX_BEFORE
from preview.errors import EnvironmentFailed
from preview.settings import Settings

LIMIT_S = 90
_PROJECT = '[project]\nname = "shop"\nversion = "1"\ndependencies = ["mine"]\n'
_EXPLICIT = '[[tool.uv.index]]\nname = "own"\nurl = "https://index.example/simple"\nexplicit = true\n'
_BROKEN_PACKAGE = {
    "mine/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "no"\n[project]\nname = "mine"\n'
}


def _uv(source: str) -> str:
    return f"{_PROJECT}[tool.uv.sources]\nmine = {source}\n"


def _poetry(source: str) -> str:
    return f'[tool.poetry]\nname = "shop"\n[tool.poetry.dependencies]\npython = "*"\nmine = {source}\n'


def _pipfile(source: str) -> str:
    return f"[packages]\nmine = {source}\n"


REQUIREMENTS = [
    # A path that is not there, leaves the project, cannot be built, or is no path.
    "./mine", "./mine[extra]", "mine/", "../mine", "/opt/mine", "~/mine", "./mine-1.0-py3-none-any.whl",
    "mine-1.0.tar.gz", "mine @ ./mine", "mine @ file:./mine", "mine @ file:///home/me/mine", "mine @ file://host/mine",
    "mine @ file:///croft/mine", "-e ./mine", "--editable=./mine", "mine @ ./mi\tne", "mine @ mine", "./mine ; bad",
    # An address or a repository that does not answer, or that nobody follows.
    "mine @ http://127.0.0.1:1/mine-1.0-py3-none-any.whl", "mine @ https://[bad/mine.whl",
    "mine @ git+http://127.0.0.1:1/mine.git", "mine @ git+ssh://git@127.0.0.1:1/mine.git", "mine @ git+file:///mine",
    "mine @ ftp://127.0.0.1/mine.whl", "mine @ https://${TOKEN}@host.example/mine.whl", "mine @ ssh://host/mine",
    "-e git+http://127.0.0.1:1/mine.git#egg=mine", "-e git+http://127.0.0.1:1/mine.git",
    "git+http://127.0.0.1:1/mine.git", "http://127.0.0.1:1/mine-1.0-py3-none-any.whl", "mine@http://127.0.0.1:1/x.whl",
    # An index of the project's own, in each way of writing it.
    "--index-url https://index.example/simple\nmine", "-i https://index.example/simple\nmine",
    "--extra-index-url https://index.example/simple\nmine", "--extra-index-url=https://index.example\nmine",
    "--index-url https://u:secret@index.example/simple\nmine", f"--index-url https://{PYTHON_INDEX}.evil.example/simple\nmine",
    f"--index-url https://{PYTHON_INDEX}@evil.example/simple\nmine", "--index-url ${INDEX}\nmine", "--index-url https://[x\nmine",
    "--index-url index.example\nmine", "--find-links ./wheels\nmine", "-f https://index.example/files\nmine",
    "--no-index\nmine", "--no-index --find-links=./wheels\nmine", "-r more.txt",
    f"--extra-index-url https://{PYTHON_INDEX}/simple https://index.example/simple\nmine",
    "--index-url http://127.0.0.1:PORT/other/simple\nmine", "mine --index-url https://index.example",
]  # fmt: skip
MANIFESTS: list[Mapping[str, str]] = [
    *({"pyproject.toml": _uv(source)} for source in (
        '{ path = "./mine" }', "{ path = 3 }", '{ path = "../mine" }', "{}", "3", "[]", '[{ path = "./mine" }]',
        '{ git = "http://127.0.0.1:1/mine.git" }', '{ url = "http://127.0.0.1:1/mine-1.0-py3-none-any.whl" }',
        '{ git = ["http://127.0.0.1:1/mine.git"] }',
    )),
    *({"pyproject.toml": f"{_PROJECT}{more}"} for more in (
        '[[tool.uv.index]]\nname = "own"\nurl = "https://index.example/simple"\n',
        f'{_EXPLICIT}[tool.uv.sources]\nmine = {{ index = "own" }}\n',
        f'{_EXPLICIT}[tool.uv.sources]\nmine = [{{ index = "own", marker = "python_version < \'3\'" }}]\n',
        '[[tool.uv.index]]\nname = "own"\nurl = "https://index.example/simple"\nexplicit = "true"\n',
        '[tool.uv.sources]\nmine = { index = "of-the-workspace" }\n',
        '[[tool.uv.index]]\nname = "own"\n', '[tool.uv]\nindex = "https://index.example"\n',
        '[tool.uv]\nindex-url = "https://index.example/simple"\n', '[tool.uv]\nno-index = true\n',
        '[tool.uv.pip]\nextra-index-url = ["https://index.example/simple"]\n',
        '[tool.uv]\nfind-links = ["./wheels"]\n', '[[tool.pdm.source]]\nurl = "https://index.example/simple"\n',
        '[[tool.poetry.source]]\nname = "own"\nurl = "https://index.example/simple"\n',
    )),
    *({"pyproject.toml": _poetry(source)} for source in (
        '{ path = "./mine" }', "{ path = 3 }", '{ file = "mine.whl" }', '{ git = "http://127.0.0.1:1/mine.git" }',
        '{ git = 3 }', '{ url = "http://127.0.0.1:1/mine-1.0-py3-none-any.whl" }', '{ git = "not a url at all" }',
        '"*"\n[[tool.poetry.source]]\nname = "own"\nurl = "https://index.example/simple"',
    )),
    *({"Pipfile": _pipfile(source)} for source in (
        '{ path = "./mine" }', "{ path = 3 }", '{ file = "http://127.0.0.1:1/mine-1.0-py3-none-any.whl" }',
        '{ git = "http://127.0.0.1:1/mine.git" }', "{ git = 3 }",
        '"*"\n[[source]]\nurl = "https://index.example/simple"',
    )),
    {"environment.yml": "dependencies:\n- pip:\n  - --extra-index-url https://index.example/simple\n  - mine\n"},
    {"environment.yml": "dependencies:\n- pip:\n  - ./mine\n"},
    {"requirements.txt": "./mine\n", **_BROKEN_PACKAGE},
    {"requirements.txt": "mine @ ./mine\n", **_BROKEN_PACKAGE},
]  # fmt: skip


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """The service's index, where a stranger has a package of each name."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("mine", "host", "other", "shop"):
        write_wheel(wheels, name)
    for variable in ("UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with open_index(wheels) as index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        yield index


@pytest.fixture
def build(tmp_path: Path, index: Index) -> Callable[[Mapping[str, str]], None]:
    """Builds the environment of a project with these files, as a launch does."""
    cache = EnvironmentCache(Settings(cache_dir=tmp_path / "cache"))

    async def run(project: Path) -> None:
        with trio.fail_after(LIMIT_S):
            async with cache.open_environment(EnvironmentRequest(project, server=None, entry="main.py"), Said()):
                pass

    def build(files: Mapping[str, str]) -> None:
        project = tmp_path / "project"
        for name, text in {"main.py": "import mine\n", **files}.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(text.replace("PORT", str(index.port)))
        trio.run(run, project)

    return build


@pytest.mark.parametrize("text", REQUIREMENTS)
def test_a_line_of_requirements_installs_nothing_of_another_place(
    build: Callable[[Mapping[str, str]], None], index: Index, text: str
) -> None:
    more = "--index-url https://index.example/simple\nmine\n"
    with pytest.raises(EnvironmentFailed) as caught:
        build({"requirements.txt": f"{text}\n", "more.txt": more})
    assert "mine" not in index.projects, caught.value.message
    assert "secret" not in f"{caught.value.message}{caught.value.details}"


@pytest.mark.parametrize("files", MANIFESTS)
def test_a_manifest_installs_nothing_of_another_place(
    build: Callable[[Mapping[str, str]], None], index: Index, files: Mapping[str, str]
) -> None:
    with pytest.raises(EnvironmentFailed) as caught:
        build(files)
    assert "mine" not in index.projects, caught.value.message


def test_another_member_of_a_workspace_is_looked_up_nowhere(
    build: Callable[[Mapping[str, str]], None], index: Index
) -> None:
    build({"pyproject.toml": _uv("{ workspace = true }")})
    assert "mine" not in index.projects


def test_an_index_of_the_projects_own_fails_with_the_setting_that_would_allow_it(
    build: Callable[[Mapping[str, str]], None],
) -> None:
    with pytest.raises(EnvironmentFailed) as caught:
        build({"requirements.txt": "--extra-index-url https://index.example/simple\nmine\n"})
    assert caught.value.message.startswith(
        "requirements.txt line 1 (--extra-index-url) takes packages from an index that this service does not use "
        "(https://index.example/simple)"
    )
    assert "ask the operator to add it (UV_INDEX)" in caught.value.message
    assert caught.value.details["reason"] == "index"


@pytest.mark.parametrize(
    "lines",
    [
        "--index-url http://127.0.0.1:PORT/simple",
        "--extra-index-url=http://127.0.0.1:PORT/simple/",
        f"-i https://{PYTHON_INDEX}/simple",
        f"--extra-index-url https://{PYTHON_INDEX_BEFORE}/simple/",
        "--extra-index-url https://download.pytorch.org/whl/cpu",
    ],
)
def test_an_index_that_the_service_stands_for_is_no_other_one(
    build: Callable[[Mapping[str, str]], None], index: Index, lines: str
) -> None:
    build({"requirements.txt": f"{lines}\nmine\n"})
    assert "mine" in index.projects


NODE: list[Mapping[str, object]] = [
    {".npmrc": "registry=https://npm.example/\n"},
    {".npmrc": "@corp:registry = https://npm.example\n"},
    {".npmrc": '  "@corp:registry"="https://npm.example" ; ours\n'},
    {".npmrc": "REGISTRY=//npm.example\n"},
    {".npmrc": "registry=${NPM_REGISTRY}\n"},
    {".npmrc": f"registry=https://{NODE_REGISTRY}.evil.example/\n"},
    {".npmrc": f"registry=https://{NODE_REGISTRY}@evil.example/\n"},
    {".npmrc": "registry=http://[bad\n"},
    {".yarnrc": 'registry "https://npm.example"\n'},
    {".yarnrc.yml": "npmRegistryServer: https://npm.example\n"},
    {".yarnrc.yml": "npmScopes: { corp: { npmRegistryServer: 'https://npm.example' } }\n"},
    {"bunfig.toml": '[install]\nregistry = "https://npm.example"\n'},
    {"package-lock.json": {"lockfileVersion": 3, "packages": {"node_modules/mine": {
        "version": "1.0.0", "resolved": "https://npm.example/mine/-/mine-1.0.0.tgz"}}}},
    {"package-lock.json": {"lockfileVersion": 3, "packages": {"": {"dependencies": {"mine": "1.0.0"}},
        "node_modules/mine": {"version": "1.0.0", "resolved": "https://npm.example/mine/-/mine-1.0.0.tgz",
                              "integrity": "sha512-" + "A" * 86 + "=="}}}},
    {"package-lock.json": {"lockfileVersion": 3, "packages": {"": {"dependencies": {"mine": "1.0.0"}},
        "node_modules/mine": {"version": "1.0.0", "resolved": "https://npm.example/mine/-/mine-1.0.0.tgz",
                              "integrity": "no hash"}}}},
    {"package-lock.json": {"lockfileVersion": 1, "dependencies": {"a": {"version": "1.0.0", "dependencies": {"mine": {
        "version": "1.0.0", "resolved": "https://npm.example/mine/-/mine-1.0.0.tgz"}}}}}},
    {"package.json": {"dependencies": {"mine": "workspace:*"}}},
    {"package.json": {"dependencies": {"mine": "workspace:^1.0.0"}, "workspaces": ["packages/*"]}},
    {"package.json": {"dependencies": {"mine": "http://127.0.0.1:1/mine.tgz"}}},
    {"package.json": {"dependencies": {"mine": "git+http://127.0.0.1:1/mine.git"}}},
]  # fmt: skip


@pytest.mark.parametrize("files", NODE)
def test_a_node_project_installs_nothing_of_another_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Mapping[str, object]
) -> None:
    given = {"package.json": {"name": "shop", "dependencies": {"mine": "1.0.0"}}, **files}
    for name, content in given.items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")

    async def build() -> None:
        cache = NodeEnvironmentCache(Settings(cache_dir=tmp_path / "cache"))
        with trio.fail_after(LIMIT_S):
            async with cache.open_environment(EnvironmentRequest(tmp_path), Said()):
                pass

    with open_registry({"mine": {"1.0.0": {}}, "a": {"1.0.0": {"mine": "1.0.0"}}}) as registry:
        monkeypatch.setenv("npm_config_registry", registry)
        with pytest.raises(EnvironmentFailed):
            trio.run(build)


def test_an_explicit_index_that_no_package_names_is_none_of_them(
    build: Callable[[Mapping[str, str]], None], index: Index
) -> None:
    """Projects have such an index to publish to."""
    build({"pyproject.toml": f"{_PROJECT}{_EXPLICIT}"})
    assert "mine" in index.projects
