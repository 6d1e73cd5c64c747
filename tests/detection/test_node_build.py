"""When a Node project is built before it starts, and when its sources run as they are."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

from preview.detection import OWN_BUILD, Overrides, StartPlan, detect
from preview.errors import InvalidGeneration

SERVER = "const express = require('express');\nconst app = express();\napp.get('/', home);\napp.listen(3000);\n"
BUNDLED = {"start": "node dist/bundle.js", "build": "webpack"}
PAGES = {"start": "node server.js", "build": "vite build"}


def plan_of(
    folder: Path, scripts: Mapping[str, str], files: Mapping[str, str], overrides: Overrides | None = None
) -> StartPlan:
    package = {"scripts": scripts, "dependencies": {"express": "^4"}}
    for name, text in {"package.json": json.dumps(package), **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return detect(folder, overrides)


def builds(plan: StartPlan) -> list[tuple[tuple[str, ...], bool]]:
    return [(step.argv, step.required) for step in plan.steps if step.name == "build"]


@pytest.mark.parametrize(
    "scripts",
    [
        BUNDLED,
        {"start": "npm run build && NODE_ENV=production node ./dist/bundle", "build": "gulp"},
        {"start": "pm2 start dist/bundle.js --name shop", "build": "rollup -c"},
        {"start": "nodemon dist/bundle.js", "dev": "webpack --watch & nodemon dist/bundle.js", "build": "webpack"},
    ],
)
def test_what_only_a_build_makes_is_built_first(tmp_path: Path, scripts: dict[str, str]) -> None:
    plan = plan_of(tmp_path, scripts, {"src/shop/start.js": SERVER})
    assert builds(plan) == [(("npm", "run", "build"), True)]
    assert plan.command[-1].removesuffix(".js") == "dist/bundle"
    assert "is started, and no source file is run instead" in plan.steps[0].why


@pytest.mark.parametrize(
    ("names", "build", "required"),
    [
        ({"_moduleAliases": {"@/utils": "dist/utils"}}, "tsc", False),
        ({"imports": {"#utils/*": "./dist/utils/*.js"}}, "tsc -p tsconfig.build.json", False),
        # These write their output in spite of errors of types, as well.
        ({"imports": {"#utils/*": "./dist/utils/*.js"}}, "nest build", False),
        ({"imports": {"#utils/*": "./dist/utils/*.js"}}, "nest build shop-api", False),
        ({"imports": {"#utils/*": "./dist/utils/*.js"}}, "webpack", True),
    ],
)
def test_names_of_modules_that_lead_to_a_builds_output_want_the_build(
    tmp_path: Path, names: object, build: str, required: bool
) -> None:
    package = {
        "scripts": {"start": "node dist/index.js", "build": build},
        "dependencies": {"express": "^4", "typescript": "^5", **({"module-alias": "^2"} if "_m" in str(names) else {})},
        **cast("dict[str, object]", names),
    }
    for name, text in {"package.json": json.dumps(package), "src/index.ts": SERVER, "src/utils/a.ts": ""}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    plan = detect(tmp_path)
    assert (plan.command, builds(plan)) == (("dist/index.js",), [(("npm", "run", "build"), required)])


def test_the_program_that_builds_is_not_taken_for_the_one_that_serves(tmp_path: Path) -> None:
    scripts = {"start": "npm run build && node dist/bundle.js", "build": "node make.js"}
    plan = plan_of(tmp_path, scripts, {"make.js": "require('fs').mkdirSync('dist');\n"})
    assert (builds(plan), plan.command) == ([(("npm", "run", "build"), True)], ("dist/bundle.js",))


@pytest.mark.parametrize(
    ("scripts", "files"),
    [
        ({"start": "node dist/server.js", "build": "tsc"}, {"src/server.ts": SERVER}),
        ({"start": "node dist/bundle.js", "dev": "node src/index.js", "build": "webpack"}, {"src/index.js": SERVER}),
        # The guess serves, and no bundler has a say in it.
        ({"start": "node dist/bundle.js", "build": "babel src -d dist"}, {"src/server.js": SERVER}),
        ({"start": "node dist/bundle.js"}, {"src/server.js": SERVER}),
    ],
)
def test_sources_that_run_are_not_built(tmp_path: Path, scripts: dict[str, str], files: dict[str, str]) -> None:
    plan = plan_of(tmp_path, scripts, files)
    assert builds(plan) == []
    assert plan.command[-1] in files


@pytest.mark.parametrize(
    ("scripts", "files", "said"),
    [
        (
            {"start": "node dist/server.js", "build": "tsc"},
            {"src/server.ts": SERVER},
            (
                'package.json "start" starts dist/server.js, which is build output: src/server.ts is started '
                "instead, and `npm run build` is not run"
            ),
        ),
        (
            {"start": "node ./dist"},
            {"src/index.js": SERVER},
            'package.json "start" starts ./dist, which is build output: src/index.js is started instead',
        ),
    ],
)
def test_a_source_that_is_started_for_a_built_file_is_told(
    tmp_path: Path, scripts: dict[str, str], files: dict[str, str], said: str
) -> None:
    assert said in plan_of(tmp_path, scripts, files).decisions


@pytest.mark.parametrize("scripts", [{"start": "node src/server.js"}, {"start": "node -r dotenv/config src/server"}])
def test_a_source_that_is_started_as_the_script_says_is_not_told(tmp_path: Path, scripts: dict[str, str]) -> None:
    plan = plan_of(tmp_path, {**scripts, "build": "babel src -d dist"}, {"src/server.js": SERVER})
    assert [line for line in plan.decisions if "is started instead" in line] == []


def test_a_built_file_that_the_project_brings_is_started_as_it_is(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, BUNDLED, {"src/shop/start.js": SERVER, "dist/bundle.js": SERVER})
    assert (builds(plan), plan.command) == ([], ("dist/bundle.js",))


def test_a_library_is_not_built_to_be_started(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"main": "dist/lib.umd.js", "scripts": {"build": "rollup -c"}}')
    with pytest.raises(InvalidGeneration, match="Missing required files"):
        detect(tmp_path)


@pytest.mark.parametrize(
    ("line", "script"),
    [
        ("const { RegisterRoutes } = require('./build/routes');", "generate"),
        ("import { RegisterRoutes } from '../build/routes.js';", "generate"),
        ("import styles from './styles.css';", None),
        ("import { User } from './user';", None),
        ("import type { User } from './gone';", None),
        ("import './known';", None),
        ("const x = condition && require('./perhaps');", None),
    ],
)
def test_a_file_that_is_imported_and_that_nobody_wrote_is_made_first(
    tmp_path: Path, line: str, script: str | None
) -> None:
    scripts = {"start": "tsx src/server.ts", "generate": "tsoa spec-and-routes", "build": "tsc"}
    files = {"src/server.ts": f"{line}\n{SERVER}", "src/user.d.ts": "", "src/known.ts": ""}
    found = [(("npm", "run", script), False)] if script else []
    assert builds(plan_of(tmp_path, scripts, files)) == found


@pytest.mark.parametrize(("own", "where"), [({}, "."), ({"codegen": "node make.js"}, "apps/api")])
def test_a_script_of_the_workspace_makes_it_where_the_package_has_none(
    tmp_path: Path, own: dict[str, str], where: str
) -> None:
    member = {"scripts": {"start": "tsx src/server.ts", **own}, "dependencies": {"express": "^4"}}
    root = {"workspaces": ["apps/*"], "scripts": {"generate": "node all.js", "codegen": "node all.js"}}
    server = f"import list from './generated/list.json' with {{ type: 'json' }};\n{SERVER}"
    files = {"apps/api/package.json": json.dumps(member), "apps/api/src/server.ts": server}
    found = plan_of(tmp_path, {}, {**files, "package.json": json.dumps(root)})
    name = "codegen" if own else "generate"
    assert [(one.argv, one.directory) for one in found.steps if one.name == "build"] == [(("npm", "run", name), where)]


@pytest.mark.parametrize(
    ("line", "made"),
    [
        ("import { Users } from '~/generated/users';", True),
        ("import {\n  Users,\n  Books,\n} from '~/generated/users';", True),
        ("import type { Users } from '~/generated/users';", False),
        ("import { User } from '~/user';", False),
        ("import { known } from '~/known.js';", False),
        ("import { z } from 'zod';", False),
    ],
)
def test_sources_that_a_path_of_the_compiler_leads_to_are_generated(tmp_path: Path, line: str, made: bool) -> None:
    scripts = {
        "start": "tsx src/server.ts",
        "build": "tsc",
        "gen:watch": "orval --watch",
        "generate:secret": "node secret.js",
        "openapi": "orval",
    }
    files = {
        "src/server.ts": f"import '~/routes';\n{SERVER}",
        "src/routes.ts": line,
        "src/user.ts": "",
        "src/known.ts": "",
        "tsconfig.json": '{"compilerOptions": {"paths": {"~/*": ["./src/*"]}}}',
    }
    assert builds(plan_of(tmp_path, scripts, files)) == ([(("npm", "run", "openapi"), False)] if made else [])


def test_a_missing_file_is_generated_and_built_where_no_script_is_named_for_it(tmp_path: Path) -> None:
    scripts = {"start": "tsx src/server.ts", "build": "tsc", "gen:api": "node make.js"}
    found = plan_of(tmp_path, scripts, {"src/server.ts": f"import {{ a }} from '../made/a';\n{SERVER}"})
    assert [argv[-1] for argv, _ in builds(found)] == ["gen:api", "build"]


@pytest.mark.parametrize(
    ("script", "runs"),
    [
        ("rimraf src/made && orval && prettier --write src/made", True),
        ("npx tsoa spec-and-routes", True),
        ("tsoa spec-and-routes && nodemon src/server.ts", False),
        ('concurrently "tsoa routes" "tsx watch src/server.ts"', False),
        ("orval && node server.js", False),
    ],
)
def test_a_script_that_also_does_other_things_is_no_generator(tmp_path: Path, script: str, runs: bool) -> None:
    """A server would never end."""
    scripts = {"start": "tsx src/server.ts", "dev": script}
    found = plan_of(tmp_path, scripts, {"src/server.ts": f"import {{ a }} from './made/a';\n{SERVER}"})
    assert [argv[-1] for argv, _ in builds(found)] == (["dev"] if runs else [])


@pytest.mark.parametrize(
    "text",
    [
        "import\n" * 140_000,
        "import\n" * 1_400 + "from" + "\n" * 900_000,
        "import{" * 140_000,
        "".join(f'from"a{number}"\n' for number in range(70_000)),
    ],
)
def test_hostile_imports_are_read_in_bounded_time(tmp_path: Path, text: str) -> None:
    paths = {f"@{number}/*": ["./src/*"] for number in range(299)} | {"*": [f"./t{number}/*" for number in range(300)]}
    files = {
        "src/server.ts": f"{SERVER}\n{text}",
        "tsconfig.json": json.dumps({"compilerOptions": {"paths": paths}}),
    }
    began = time.process_time()
    plan_of(tmp_path, {"start": "tsx src/server.ts", "generate": "node make.js"}, files)
    assert time.process_time() - began < 10


def test_served_pages_are_built_beside_generated_sources(tmp_path: Path) -> None:
    scripts = {"start": "node server.js", "generate": "node make.js", "build": "vite build"}
    server = f"const {{ a }} = require('./made/a');\n{SERVER}app.use(express.static('dist'));\n"
    found = plan_of(tmp_path, scripts, {"server.js": server, "index.html": ""})
    assert [argv[-1] for argv, _ in builds(found)] == ["generate", "build"]


def test_a_missing_file_of_a_path_is_not_built_without_a_generator(tmp_path: Path) -> None:
    files = {
        "src/server.ts": f"import {{ a }} from '@/gone';\n{SERVER}",
        "tsconfig.json": '{"compilerOptions": {"paths": {"@/*": ["./src/*"], "*": ["./types/*"]}}}',
    }
    assert builds(plan_of(tmp_path, {"start": "tsx src/server.ts", "build": "tsc"}, files)) == []


@pytest.mark.parametrize(
    "served",
    [
        "app.use(express.static('dist'));",
        "app.use(express.static(path.join(__dirname, 'dist')));",
        "app.get('*', (req, res) => res.sendFile(path.resolve(__dirname, '/dist', 'index.html')));",
    ],
)
def test_pages_that_are_served_are_built_where_their_tools_are_the_packages_own(tmp_path: Path, served: str) -> None:
    plan = plan_of(tmp_path, PAGES, {"server.js": SERVER + served})
    assert builds(plan) == [(("npm", "run", "build"), False)]
    assert plan.steps[0].why == "dist is served and does not exist"
    assert plan.command == ("server.js",)


@pytest.mark.parametrize(
    ("scripts", "served"),
    [
        (PAGES, "app.use(express.static('public'));"),
        (PAGES, "app.use(express.static(folder));"),
        ({"start": "node server.js", "build": "tsc"}, "app.use(express.static('dist'));"),
        ({"start": "node server.js", "build": "npm install && vite build"}, "app.use(express.static('dist'));"),
    ],
)
def test_pages_that_no_build_makes_are_not_built(tmp_path: Path, scripts: dict[str, str], served: str) -> None:
    assert builds(plan_of(tmp_path, scripts, {"server.js": SERVER + served})) == []


def test_pages_of_a_package_of_their_own_are_told_and_not_built(tmp_path: Path) -> None:
    client = json.dumps({"scripts": {"build": "vite build"}, "dependencies": {"vite": "^5"}})
    served = "app.use(express.static(path.join(__dirname, '/client/dist')));"
    plan = plan_of(tmp_path, {"start": "node server.js"}, {"server.js": SERVER + served, "client/package.json": client})
    assert builds(plan) == []
    assert any("client/dist is served and does not exist" in line for line in plan.warnings)


def test_pages_of_a_member_of_the_workspace_are_built_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"workspaces": ["api", "web"]}')
    served = "app.use(express.static(path.join(__dirname, '../web/dist')));"
    web = json.dumps({"scripts": {"build": "vite build"}, "dependencies": {"vite": "^5"}})
    files = {"api/server.js": SERVER + served, "web/package.json": web}
    files["api/package.json"] = json.dumps({"scripts": {"start": "node server.js"}, "dependencies": {"express": "^4"}})
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    plan = detect(tmp_path)
    assert [(step.name, step.directory) for step in plan.steps] == [("build", "web")]


def test_a_build_is_left_out_where_a_person_says_so(tmp_path: Path) -> None:
    files = {"src/shop/start.js": SERVER, "preview.toml": '[start]\nskip_steps = ["build"]\n'}
    assert builds(plan_of(tmp_path, BUNDLED, files)) == []


@pytest.mark.parametrize("name", ["serve.js", "src/none.ts", "../server.js", "/etc/passwd.js", "dist/none.js"])
def test_an_application_that_is_no_file_of_the_project_is_one_clear_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidGeneration, match="there is no file") as caught:
        plan_of(tmp_path, {"start": "node server.js"}, {"server.js": SERVER}, Overrides(app=name))
    assert (caught.value.code, caught.value.details["missing_files"]) == ("invalid_generation", [name])


@pytest.mark.parametrize(
    ("name", "directory", "started"),
    [
        ("dist/server.js", None, "src/server.ts"),
        ("src/server.js", None, "src/server.ts"),
        ("server.ts", "src", "src/server.ts"),
        ("dist/other.js", None, "dist/other.js"),
    ],
)
def test_a_named_file_is_the_source_that_it_is_built_from(
    tmp_path: Path, name: str, directory: str | None, started: str
) -> None:
    scripts = {"start": "node dist/server.js", "build": "tsc"}
    plan = plan_of(tmp_path, scripts, {"src/server.ts": SERVER}, Overrides(app=name, directory=directory))
    assert plan.command[-1] == started
    assert bool(builds(plan)) is (started == "dist/other.js")


@pytest.mark.parametrize("line", ["const api = require('./{}');", "app.use(express.static('{}/dist'));"])
def test_a_name_that_no_file_can_have_is_missing(tmp_path: Path, line: str) -> None:
    files = {"server.js": SERVER + line.format("a" * 300) + "\n"}
    assert plan_of(tmp_path, PAGES, files).command == ("server.js",)


@pytest.mark.parametrize(
    ("scripts", "more", "output"),
    [
        ({"start": "nest start", "start:dev": "nest start --watch", "build": "nest build"}, {}, "dist/main.js"),
        ({"start": "nest start", "start:prod": "node dist/src/main", "build": "nest build"}, {}, "dist/src/main"),
        ({"dev": "tsx src/main.ts", "build": "tsc"}, {"Dockerfile": 'CMD ["node", "dist/main.js"]\n'}, "dist/main.js"),
        ({"dev": "tsx watch src/main.ts", "build": "tsc"}, {"Procfile": "web: node dist/main.js\n"}, "dist/main.js"),
        ({"build": "tsc", "start": "NODE_ENV=production node dist/main.js"}, {}, "dist/main.js"),
    ],
)
def test_a_second_attempt_starts_the_output_that_the_project_itself_starts(
    tmp_path: Path, scripts: dict[str, str], more: dict[str, str], output: str
) -> None:
    files = {"src/main.ts": SERVER, "src/other.ts": SERVER, **more}
    first = plan_of(tmp_path, scripts, files)
    assert first.command[-1] == "src/main.ts"
    assert not builds(first)
    plan = detect(tmp_path, Overrides(is_built=True))
    assert plan.command == (output,)
    assert [argv for argv, _ in builds(plan)] == [("npm", "run", "build")]
    assert plan.decisions[0].startswith(f"{OWN_BUILD}: {output} (")
    assert (plan.framework, plan.target) == (first.framework, first.target)


@pytest.mark.parametrize(
    ("scripts", "more"),
    [
        ({"dev": "tsx src/main.ts", "build": "tsc"}, {}),
        ({"start": "node dist/main.js"}, {}),
        ({"dev": "tsx src/main.ts", "start": "node dist/worker.js", "build": "tsc"}, {"src/worker.ts": "work();\n"}),
        ({"start": "node src/main.ts", "build": "tsc"}, {}),
        ({"start": "node ../dist/main.js", "dev": "tsx src/main.ts", "build": "tsc"}, {}),
        ({"dev": "tsx src/main.ts", "start": "node dist/main.js", "build": "npm install && tsc"}, {}),
    ],
)
def test_no_second_attempt_without_a_build_and_its_output(
    tmp_path: Path, scripts: dict[str, str], more: dict[str, str]
) -> None:
    first = plan_of(tmp_path, scripts, {"src/main.ts": SERVER, **more})
    plan = detect(tmp_path, Overrides(is_built=True))
    assert (plan.command, plan.steps, plan.decisions) == (first.command, first.steps, first.decisions)
