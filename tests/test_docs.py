"""The documents agree with the code."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic.aliases import AliasChoices
from pydantic.fields import FieldInfo
from typer.main import get_command

from preview.cli.entry import COMMANDS
from preview.cli.exits import ExitCode
from preview.http.core.errors import HTTP_CODES, STATUSES
from preview.settings import Settings
from preview.supervisor import EVENTS

ROOT = Path(__file__).resolve().parent.parent
DOCS = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])


def variable(field_name: str, field: FieldInfo) -> str:
    if isinstance(field.validation_alias, AliasChoices):
        return str(field.validation_alias.choices[0])
    return f"PREVIEW_{field_name.upper()}"


VARIABLES = {variable(name, field) for name, field in Settings.model_fields.items()}
SETTINGS_TEXT = (ROOT / "docs" / "settings.md").read_text()
SETTINGS_ROWS = dict(re.findall(r"^\| `(PREVIEW_\w+)` \| (.*?) \|", SETTINGS_TEXT, re.MULTILINE))
# Read by the client commands themselves, not by the service.
CLIENT_VARIABLES = {"PREVIEW_URL", "PREVIEW_TOKEN", "PREVIEW_DEBUG"}


def test_every_setting_is_documented_and_every_documented_setting_exists() -> None:
    assert set(SETTINGS_ROWS) == VARIABLES | CLIENT_VARIABLES


@pytest.mark.parametrize("field_name", Settings.model_fields)
def test_the_documented_default_is_the_default(field_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES | {"XDG_DATA_HOME", "XDG_CACHE_HOME"}:
        monkeypatch.delenv(name, raising=False)
    default = getattr(Settings(), field_name)
    row = SETTINGS_ROWS[variable(field_name, Settings.model_fields[field_name])]
    if isinstance(default, bool):
        expected = f"`{str(default).lower()}`"
    elif isinstance(default, int | float):
        expected = f"`{default:g}`" if default < 1_000_000 else f"`{default}`"
    elif isinstance(default, Path):
        expected = f"`{str(default).replace(str(Path.home()), '~', 1)}`"
    else:
        expected = "none" if default is None or default == () else f"`{default}`"
    assert row.startswith(expected), f"{field_name}: documented {row!r}, is {expected}"


CLI_TEXT = (ROOT / "docs" / "cli.md").read_text()


def test_every_exit_code_is_documented() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", CLI_TEXT, re.MULTILINE)}
    assert documented == {int(code) for code in ExitCode}


@pytest.mark.parametrize("command_name", COMMANDS)
def test_every_command_and_option_is_documented(command_name: str) -> None:
    section = re.search(rf"^## `preview {command_name}\b.*?(?=^## |\Z)", CLI_TEXT, re.MULTILINE | re.DOTALL)
    assert section is not None, f"docs/cli.md has no section for {command_name}"
    command = get_command(importlib.import_module(f"preview.cli.commands.{COMMANDS[command_name].module}").app)
    options = {
        option for param in command.params for option in param.opts if option.startswith("-") and option != "--help"
    }
    assert [option for option in sorted(options) if f"`{option}" not in section[0]] == []
    documented = set(re.findall(r"^\| `(--?[a-z][a-z-]*)", section[0], re.MULTILINE))
    assert documented <= options | {option for param in command.params for option in param.secondary_opts}


def test_python_examples_are_typed_python_that_imports(tmp_path: Path) -> None:
    """mypy knows whether the names and signatures in an example exist; one run of it reads our package once."""
    for path in DOCS:
        examples = re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
        for number, code in enumerate(examples):
            name = re.sub(r"\W", "_", str(path.relative_to(ROOT).with_suffix("")))
            (tmp_path / f"{name}_{number}.py").write_text(code)
    written = sorted(map(str, tmp_path.iterdir()))
    assert len(written) > 10
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), *written],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_every_error_code_of_the_api_is_documented_with_its_status() -> None:
    table = (ROOT / "docs" / "api.md").read_text().partition("## Errors")[2].partition("### ")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", table, re.MULTILINE))
    of_statuses = {code: str(status) for status, code in HTTP_CODES.items()}
    of_classes = {kind.code: str(status) for kind, (status, _title) in STATUSES.items()}
    assert documented == of_statuses | of_classes | {"too_many_connections": "503"}


def test_no_error_code_is_written_anywhere_that_the_table_lacks() -> None:
    table = (ROOT / "docs" / "api.md").read_text().partition("## Errors")[2].partition("### ")[0]
    written = {
        code
        for path in sorted((ROOT / "preview").rglob("*.py"))
        if "cli" not in path.relative_to(ROOT).parts
        for found in re.findall(r'"code": ?"(\w+)"|^    code = "(\w+)"', path.read_text(), re.MULTILINE)
        for code in found
        if code
    }
    assert {code for code in written if f"| `{code}` |" not in table} == set()
    assert "too_many_connections" in written


def test_the_page_of_figures_names_every_benchmark() -> None:
    programs = {path.name for path in (ROOT / "benchmarks").glob("*.py") if not path.name.startswith("_")}
    assert set(re.findall(r"benchmarks/(\w+\.py)", (ROOT / "docs" / "benchmarks.md").read_text())) == programs


def test_every_event_about_previews_is_documented_with_its_fields() -> None:
    """Two tables: when each event is logged, and what fields it has, in their order."""
    section = SETTINGS_TEXT.partition("## The service's own log")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+ \w+)` \| (.*) \|$", section, re.MULTILINE)
    assert [name for name, _ in rows] == [*EVENTS, *EVENTS]
    described: dict[str, tuple[str, ...]] = {}
    for name, cell in rows[len(EVENTS) :]:
        named = re.fullmatch(r"as `(\w+ \w+)`", cell)
        described[name] = described[named[1]] if named else tuple(re.findall(r"`(\w+)`", cell))
    assert described == dict(EVENTS)


SECURITY = (ROOT / "docs" / "security.md").read_text()
TESTS = ROOT / "tests"


def test_every_test_file_that_the_security_page_names_exists() -> None:
    # A name alone, or a path below ``tests``; ``*`` stands for many.
    named = set(re.findall(r"`(?:tests/)?((?:\w+/)*test_[\w*]+\.py)`", SECURITY))
    assert len(named) > 40
    assert [one for one in sorted(named) if not list(TESTS.rglob(one))] == []


def test_every_test_that_the_security_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", SECURITY))
    code = "".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    assert len(named) > 10
    assert [one for one in sorted(named) if f"def {one}(" not in code] == []


def test_the_abbreviated_names_of_the_security_page_are_test_files() -> None:
    short = {"H": "http/test_http_", "P": "proxy/test_proxy_", "A": "auth/test_auth_"}
    section = SECURITY.partition("## The service's own edge")[2].partition("\n## ")[0]
    named = re.findall(r"`([HPA])([a-z]\w+)`", section)
    assert len(named) > 10
    assert [name for kind, name in named if not list(TESTS.glob(f"{short[kind]}{name}*.py"))] == []


def test_each_claim_names_an_attacker_a_mechanism_and_a_test() -> None:
    section = SECURITY.partition("## What holds, and against whom")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 20
    for attacker, claim, mechanism, tests, *_ in rows:
        assert attacker
        assert claim
        assert mechanism
        assert re.search(r"`\w+/test_\w+\.py`", tests), claim


TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines()
# Files of the projects that are previewed.
THEIRS = {"manage.py", "setup.py", "wsgi.py"}


@pytest.mark.skipif(not TRACKED, reason="not a git checkout: nothing says which files belong to the project")
@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_a_file_that_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"`([\w/.-]+\.(?:py|ts|tsx))`", document.read_text())) - THEIRS
    assert [one for one in sorted(named) if not any(f"/{file}".endswith(f"/{one}") for file in TRACKED)] == []


def test_the_workflow_to_copy_is_the_one_that_is_shown() -> None:
    copied = (ROOT / "docs" / "github-workflow.yml").read_text()
    assert f"```yaml\n{copied.split(chr(10), 1)[1]}```" in (ROOT / "docs" / "ci.md").read_text()
