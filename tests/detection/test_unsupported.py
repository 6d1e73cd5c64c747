"""Projects that cannot be started are refused with a sentence that names what they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from detection_kit import FASTAPI, plan_of

from preview.errors import InvalidGeneration

ELYSIA = "import { Elysia } from 'elysia';\nnew Elysia().get('/', () => 'x').listen(3000);\n"
HONO = "import { Hono } from 'hono';\nconst app = new Hono();\nexport default app;\n"
EXPRESS = "import express from 'express';\nconst app = express();\napp.get('/', () => 1);\napp.listen(3000);\n"


def package(start: str, *names: str) -> str:
    dependencies = ", ".join(f'"{name}": "*"' for name in names)
    return f'{{"scripts": {{"start": "{start}"}}, "dependencies": {{{dependencies}}}}}'


@pytest.mark.parametrize(
    ("file", "language"),
    [
        ("go.mod", "Go"), ("server/go.mod", "Go"), ("Cargo.toml", "Rust"), ("Gemfile", "Ruby"), ("config.ru", "Ruby"),
        ("composer.json", "PHP"), ("index.php", "PHP"), ("pom.xml", "Java"), ("build.gradle.kts", "Java"),
        ("Api/Api.csproj", ".NET"), ("mix.exs", "Elixir"), ("deno.json", "Deno"),
        ("build.sbt", "Scala"),
    ],
)  # fmt: skip
def test_a_project_in_another_language_is_named(tmp_path: Path, file: str, language: str) -> None:
    with pytest.raises(InvalidGeneration) as refused:
        plan_of(tmp_path, {file: "", "README.md": "# It\n"})
    assert refused.value.message.startswith(f"Cannot launch: this is a {language} project ({file}), which is not")
    assert '[start] command = "…"' in refused.value.message
    assert refused.value.code == "invalid_generation"
    assert refused.value.details == {"reason": "unsupported_language", "language": language, "path": file}


def test_a_supported_application_beside_another_language_is_started(tmp_path: Path) -> None:
    assert plan_of(tmp_path, {"worker/go.mod": "", "main.py": FASTAPI}).framework == "fastapi"


def test_a_command_starts_any_language(tmp_path: Path) -> None:
    files = {"go.mod": "", "preview.toml": '[start]\ncommand = "go run ."\n'}
    assert plan_of(tmp_path, files).command == ("go", "run", ".")


@pytest.mark.parametrize(
    ("start", "text", "names", "why"),
    [
        ("wrangler dev src/index.ts", HONO + "interface Env { DB: D1Database }\n", ("hono",), "uses D1Database"),
        ("deno run -A src/index.ts", "Deno.serve(() => new Response('x'));\n", (), "src/index.ts uses Deno.serve"),
    ],
)
def test_what_only_another_runtime_runs_is_refused(
    tmp_path: Path, start: str, text: str, names: tuple[str, ...], why: str
) -> None:
    with pytest.raises(InvalidGeneration) as refused:
        plan_of(tmp_path, {"package.json": package(start, *names), "src/index.ts": text})
    runtime = start.partition(" ")[0]
    assert refused.value.message.startswith(f"Cannot launch: package.json starts it with {runtime}, which is not")
    assert why in refused.value.message


@pytest.mark.parametrize(
    ("start", "text", "names"),
    [
        ("bun run src/index.ts", EXPRESS, ("express",)),
        ("bun run src/index.ts", "const port = Bun.env.PORT;\n" + EXPRESS, ("express",)),
        ("bun run src/index.ts", ELYSIA, ("elysia", "@elysiajs/node")),
        ("bun src/index.ts", "import { serve } from '@hono/node-server';\n" + HONO + "serve(app);\n", ("hono",)),
    ],
)
def test_what_node_can_run_too_is_started(tmp_path: Path, start: str, text: str, names: tuple[str, ...]) -> None:
    plan = plan_of(tmp_path, {"package.json": package(start, *names), "src/index.ts": text})
    assert plan.command[-1] == "src/index.ts"
