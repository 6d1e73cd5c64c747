# ruff: noqa: E501  JavaScript stands as it would be written
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from express_project_kit import APP, of

ROUTER = "const router = require('express').Router();\nrouter.get('/a', h);\n"
ES_ROUTER = "import { Router } from 'express';\nconst router = Router();\nrouter.get('/a', h);\n"
ES_APP = "import express from 'express';\nconst app = express();\n"
TS_PACKAGE = '{"scripts": {"start": "tsx src/main.ts"}, "dependencies": {"express": "5"}}'

COMMON = {
    "module.exports": {"r.js": f"{ROUTER}module.exports = router", "app.js": f"{APP}app.use('/x', require('./r'))"},
    "exports.name": {"r.js": f"{ROUTER}exports.users = router", "app.js": f"{APP}app.use('/x', require('./r').users)"},
    "destructured": {"r.js": f"{ROUTER}module.exports = {{users: router}}",
                     "app.js": f"{APP}const {{users}} = require('./r'); app.use('/x', users)"},
    "a function that gets the application": {
        "r.js": "module.exports = (app) => { app.get('/x/a', h) }", "app.js": f"{APP}require('./r')(app)"},
    "a function that gives a router": {
        "r.js": "module.exports = function () { const r = require('express').Router(); r.get('/a', h); return r }",
        "app.js": f"{APP}app.use('/x', require('./r')())"},
    "a folder's index": {"routes/index.js": f"{ROUTER}module.exports = router",
                         "app.js": f"{APP}app.use('/x', require('./routes'))"},
    "the application is exported": {
        "app.js": "const app = module.exports = require('express')(); require('./r')",
        "r.js": "const app = require('./app'); app.get('/x/a', h)"},
    "an object with a method": {
        "r.js": "module.exports = {path: '/x', init(app) { app.get(this.path + '/a', h) }}",
        "app.js": f"{APP}require('./r').init(app)"},
    "a table of routes": {
        "r.js": "module.exports = [{path: '/a', method: 'get', run: h}]",
        "app.js": f"{APP}const r = express.Router(); require('./r').forEach(({{method, path, run}}) => r[method](path, run));"
                  "app.use('/x', r)"},
    "a table of routers": {
        "r.js": f"{ROUTER}module.exports = router",
        "app.js": f"{APP}const all = {{'/x': require('./r')}};\n"
                  "for (const [path, router] of Object.entries(all)) app.use(path, router)"},
    "a table in JSON": {
        "r.json": '[{"path": "/x/a", "method": "GET"}]',
        "app.js": f"{APP}require('./r.json').map(r => app[r.method.toLowerCase()](r.path, h))"},
    "a counting loop": {
        "app.js": f"{APP}const all = [{{p: '/x/a'}}]; for (let i = 0; i < all.length; i++) {{ app.get(all[i].p, h) }}"},
    "all files of a folder": {
        "routes/a.js": f"{ROUTER}module.exports = router", "routes/note.txt": "",
        "routes/index.js": """
            const fs = require('fs'), path = require('path'), router = require('express').Router();
            fs.readdirSync(__dirname)
              .filter(file => file !== path.basename(__filename) && file.slice(-3) === '.js')
              .forEach(file => { router.use(require(path.join(__dirname, file))) });
            module.exports = router""",
        "app.js": f"{APP}app.use('/x', require('./routes'))"},
    "all files, each under its name": {
        "routes/x.js": f"{ROUTER}module.exports = router",
        "routes/index.js": """
            const router = require('express').Router(), fs = require('fs');
            const nameOf = (file) => file.split('.').slice(0, -1).join('.').toString();
            fs.readdirSync(__dirname).filter((file) => {
              const name = nameOf(file);
              return name !== 'index' ? router.use(`/${name}`, require(`./${name}`)) : '';
            });
            module.exports = router""",
        "app.js": f"{APP}app.use(require('./routes'))"},
    "all files of a pattern": {
        "modules/users/users.route.js": "module.exports = app => app.get('/x/a', h)",
        "app.js": f"{APP}const path = require('path'); require('glob').sync('./modules/**/*.route.js').forEach(f => require(path.resolve(f))(app))"},
    "folders within folders": {
        "routes/v1/x.js": f"{ROUTER}module.exports = {{path: '/x', router}}",
        "app.js": f"""{APP}
            const fs = require('fs'), path = require('path');
            function load(folder) {{
              for (const entry of fs.readdirSync(folder, {{withFileTypes: true}})) {{
                const full = path.join(folder, entry.name);
                if (entry.isDirectory()) load(full);
                else {{ const r = require(full); app.use(r.path, r.router) }}
              }}
            }}
            load(path.join(__dirname, 'routes'))"""},
    "a loader of folders": {
        "src/routes/x.js": "module.exports = app => { app.route('/x/a').get(h) }",
        "src/models/y.js": "module.exports = {}",
        "app.js": f"{APP}require('consign')({{cwd: 'src'}}).include('models').then('routes').into(app)"},
    "a Map": {"r.js": f"{ROUTER}module.exports = new Map([['/x', router]])",
              "app.js": f"{APP}require('./r').forEach((router, path) => app.use(path, router))"},
    "module aliases": {
        "package.json": '{"main": "app.js", "dependencies": {"express": "4"}, "_moduleAliases": {"@routes": "lib/routes"}}',
        "lib/routes/r.js": f"{ROUTER}module.exports = router", "app.js": f"{APP}app.use('/x', require('@routes/r'))"},
    "imports of package.json": {
        "package.json": '{"main": "app.js", "dependencies": {"express": "4"}, "imports": {"#r/*": "./lib/*.js"}}',
        "lib/r.js": f"{ROUTER}module.exports = router", "app.js": f"{APP}app.use('/x', require('#r/r'))"},
    "a factory of the application": {
        "create.js": f"{APP}module.exports = () => {{ const app = express(); app.get('/x/a', h); return app }}",
        "app.js": "const app = require('./create')(); require('http').createServer(app).listen(1)"},
    "compiled TypeScript": {
        "r.js": """
            "use strict";
            Object.defineProperty(exports, "__esModule", { value: true });
            const express_1 = require("express");
            const router = (0, express_1.Router)();
            router.get('/a', h);
            exports.default = router;""",
        "app.js": """
            "use strict";
            var __importDefault = (this && this.__importDefault) || function (mod) {
                return (mod && mod.__esModule) ? mod : { "default": mod };
            };
            const express_1 = __importDefault(require("express"));
            const r_1 = __importDefault(require("./r"));
            const app = (0, express_1.default)();
            app.use('/x', r_1.default);"""},
}  # fmt: skip

MODERN = {
    "default": {"r.js": f"{ES_ROUTER}export default router",
                "app.js": f"import r from './r.js'\n{ES_APP}app.use('/x', r)"},
    "named": {"r.js": "import { Router } from 'express'\nexport const users = Router()\nusers.get('/a', h)",
              "app.js": f"{ES_APP}import {{ users as r }} from './r.js'\napp.use('/x', r)"},
    "exported by name later": {"r.js": f"{ES_ROUTER}export {{ router as users }}",
                               "app.js": f"{ES_APP}import {{ users }} from './r.js'\napp.use('/x', users)"},
    "a whole module": {"r.js": f"{ES_ROUTER}export {{ router }}",
                       "app.js": f"{ES_APP}import * as r from './r.js'\napp.use('/x', r.router)"},
    "exported again": {"r.js": f"{ES_ROUTER}export default router", "all/index.js": "export { default as users } from '../r.js'",
                       "app.js": f"{ES_APP}import {{ users }} from './all/index.js'\napp.use('/x', users)"},
    "exported again, all": {"r.js": f"{ES_ROUTER}export {{ router }}", "all/index.js": "export * from '../r.js'",
                            "app.js": f"{ES_APP}import {{ router }} from './all/index.js'\napp.use('/x', router)"},
    "a default function": {"r.js": "export default function add(app) { app.get('/x/a', h) }",
                           "app.js": f"{ES_APP}import add from './r.js'\nadd(app)"},
    "imported when needed": {"r.js": f"{ES_ROUTER}export default router",
                             "app.js": f"{ES_APP}const {{ default: r }} = await import('./r.js')\napp.use('/x', r)"},
    "all files of a folder": {
        "routes/x.js": f"{ES_ROUTER}export default router",
        "app.js": f"""{ES_APP}
            import {{ readdirSync }} from 'node:fs'
            import {{ dirname, join, parse }} from 'node:path'
            import {{ fileURLToPath, pathToFileURL }} from 'node:url'
            const here = dirname(fileURLToPath(import.meta.url))
            for (const file of readdirSync(join(here, 'routes'))) {{
              const found = await import(pathToFileURL(join(here, 'routes', file)).href)
              app.use('/' + parse(file).name, found.default)
            }}"""},
    "modules that import each other": {
        "r.js": f"import {{ prefix }} from './app.js'\n{ES_ROUTER}export default router\nexport const at = () => prefix",
        "app.js": f"import r, {{ at }} from './r.js'\n{ES_APP}export const prefix = '/x'\napp.use(at(), r)"},
}  # fmt: skip

TYPED = {
    "import with require": {"r.ts": "import express = require('express');\nconst r = express.Router();\nr.get('/a', h);\nexport = r;",
                            "main.ts": f"{ES_APP}import r = require('./r');\napp.use('/x', r)"},
    "a .js specifier of a .ts file": {"r.ts": f"{ES_ROUTER}export default router",
                                      "main.ts": f"{ES_APP}import r from './r.js'\napp.use('/x', r)"},
    "paths of tsconfig": {"../tsconfig.json": '{\n// aliases\n"compilerOptions": {"baseUrl": "./src", "paths": {"@/*": ["*"],},}}',
                          "api/r.ts": f"{ES_ROUTER}export default router",
                          "main.ts": f"{ES_APP}import r from '@/api/r'\napp.use('/x', r)"},
    "baseUrl": {"../tsconfig.json": '{"compilerOptions": {"baseUrl": "src"}}',
                "api/r.ts": f"{ES_ROUTER}export default router",
                "main.ts": f"{ES_APP}import r from 'api/r'\napp.use('/x', r)"},
    "types everywhere": {"main.ts": """
        import express, { type Express, Request, Response } from 'express';
        enum Path { Users = '/x' }
        namespace Names { export const leaf = '/a' }
        const app: Express = <Express>(express() as unknown);
        const at = <T extends string>(path: T): string => path!;
        app.get<{ id: string }>(`${Path.Users}${at<string>(Names.leaf)}` satisfies string, async (req: Request, res: Response): Promise<void> => {});"""},
}  # fmt: skip


@pytest.mark.parametrize("case", COMMON)
def test_commonjs(tmp_path: Path, case: str) -> None:
    assert of(tmp_path, COMMON[case]) == ["GET /x/a"]


@pytest.mark.parametrize("case", MODERN)
def test_es_modules(tmp_path: Path, case: str) -> None:
    assert of(tmp_path, MODERN[case]) == ["GET /x/a"]


@pytest.mark.parametrize("case", TYPED)
def test_typescript(tmp_path: Path, case: str) -> None:
    files: Mapping[str, str] = {f"src/{name}": text for name, text in TYPED[case].items()}
    assert of(tmp_path, {"package.json": TS_PACKAGE, **files}) == ["GET /x/a"]


def test_a_package_of_the_workspace_is_followed(tmp_path: Path) -> None:
    files = {
        "package.json": '{"workspaces": ["packages/*"]}',
        "packages/api/package.json": '{"scripts": {"start": "node index.js"}, "dependencies": {"express": "4", "@me/r": "*"}}',
        "packages/api/index.js": f"{APP}app.use('/x', require('@me/r'))",
        "packages/r/package.json": '{"name": "@me/r", "main": "lib.js"}',
        "packages/r/lib.js": f"{ROUTER}module.exports = router",
    }
    assert of(tmp_path, files) == ["GET /x/a"]


def test_values_of_env_files_make_prefixes(tmp_path: Path) -> None:
    files = {
        ".env.example": "API_PREFIX=/v1\nUNSET=\n",
        ".env": 'API_PREFIX="/v2"\n',
        "app.js": f"{APP}app.get(process.env.API_PREFIX + '/a', h)",
    }
    assert of(tmp_path, files) == ["GET /v2/a"]


def test_a_source_folder_named_env_is_read(tmp_path: Path) -> None:
    files = {"src/env/index.js": "exports.prefix = '/x'",
             "app.js": f"{APP}const {{ prefix }} = require('./src/env'); app.get(prefix + '/a', h)"}  # fmt: skip
    assert of(tmp_path, files) == ["GET /x/a"]


def test_settings_of_the_config_package(tmp_path: Path) -> None:
    files = {"config/default.json": '{"api": {"prefix": "/x"}}',
             "app.js": f"{APP}app.get(require('config').get('api.prefix') + '/a', h)"}  # fmt: skip
    assert of(tmp_path, files) == ["GET /x/a"]
