# ruff: noqa: E501  JavaScript stands as it would be written
from __future__ import annotations

from pathlib import Path

import pytest
from express_project_kit import in_app, of

CLASSES = {
    "an application as a field": """
        class Server {
          constructor() { this.app = express(); this.routes() }
          routes() { const r = express.Router(); r.get('/a', h); this.app.use('/x', r) }
          start() { this.app.listen(1) }
        }
        new Server().start()""",
    "fields before the constructor": """
        class Users { path = '/x'; router = express.Router(); constructor() { this.router.get(`${this.path}/a`, this.list) } list = () => {} }
        [new Users()].forEach(item => app.use('/', item.router))""",
    "a base that registers": """
        class Base { constructor(path) { this.path = path; this.router = express.Router(); this.register() } register() {} }
        class Users extends Base { constructor() { super('/x') } register() { this.router.get(this.path + '/a', h) } }
        app.use(new Users().router)""",
    "a method of the base": """
        class Base { add(app) { app.get('/x' + this.leaf(), h) } leaf() { return '/b' } }
        class Users extends Base { add(app) { super.add(app) } leaf() { return '/a' } }
        new Users().add(app)""",
    "a getter": """
        class Users { get router() { const r = express.Router(); r.get('/a', h); return r } }
        app.use('/x', new Users().router)""",
    "static members": """
        class Users { static path = '/x'; static router() { const r = express.Router(); r.get('/a', h); return r } }
        app.use(Users.path, Users.router())""",
    "a single instance": """
        class Users { static get() { if (!Users.one) Users.one = new Users(); return Users.one }
                      #r = express.Router(); mount() { this.#r.get('/a', h); return this.#r } }
        app.use('/x', Users.get().mount())""",
    "a function as a class": """
        function Users() { this.r = express.Router() }
        Users.prototype.mount = function (app) { this.r.get('/a', h); app.use('/x', this.r) }
        new Users().mount(app)""",
    "a class that extends a router": """
        class Users extends express.Router { constructor() { super(); this.get('/a', h) } }
        app.use('/x', new Users())""",
    "bound methods": """
        class Users { list() {} add(app) { app.get('/x/a', this.list.bind(this)) } }
        const add = new Users(); const bound = add.add.bind(add); bound(app)""",
}

ROOT = '{"scripts": {"start": "tsx src/main.ts"}, "dependencies": {"express": "4", "%s": "1"}}'
CONTROLLERS = {
    "parameters that are properties": ("tsyringe", {"src/main.ts": """
        import express, { Application, Router } from 'express';
        class Users { public readonly router: Router = Router(); constructor() { this.router.get('/a', this.list) } private list() {} }
        class App { public app: Application = express(); constructor(private users: Users, private readonly path: string) { this.app.use(path, users.router) } }
        new App(new Users(), '/x').app.listen(1)"""}),
    "a container hands in": ("typedi", {"src/main.ts": """
        import express from 'express'; import { Container, Service } from 'typedi';
        @Service() class Users { router = express.Router(); constructor() { this.router.get('/a', h) } }
        @Service() class App { app = express(); constructor(private users: Users) { this.app.use('/x', this.users.router) } }
        Container.get(App).app.listen(1)"""}),
    "a container by tokens": ("tsyringe", {"src/main.ts": """
        import express from 'express'; import { container, inject, injectable } from 'tsyringe';
        const Symbols = { Users: Symbol.for('Users') };
        @injectable() class Users { add(app) { app.get('/x/a', h) } }
        @injectable() class Routes { constructor(@inject(Symbols.Users) private users: Adds) {} add(app) { this.users.add(app) } }
        container.register<Adds>(Symbols.Users, { useClass: Users });
        const app = express(); container.resolve(Routes).add(app); app.listen(1)"""}),
    "a container that is bound": ("inversify", {"src/main.ts": """
        import express from 'express'; import { Container, ContainerModule, inject, injectable } from 'inversify';
        const TYPES = { App: Symbol('App'), Users: Symbol('Users') };
        @injectable() class Users { router = express.Router(); constructor() { this.router.get('/a', h) } }
        @injectable() class App { app = express(); constructor(@inject(TYPES.Users) private users: Users) {} start() { this.app.use('/x', this.users.router) } }
        const container = new Container(); container.load(new ContainerModule((bind) => { bind<Users>(TYPES.Users).to(Users).inSingletonScope() }));
        container.bind<App>(TYPES.App).to(App); container.get<App>(TYPES.App).start()"""}),
    "routing-controllers": ("routing-controllers", {
        "src/main.ts": "import 'reflect-metadata'; import { createExpressServer } from 'routing-controllers';\n"
                       "import { Users } from './users';\ncreateExpressServer({ routePrefix: '/x', controllers: [Users] }).listen(1)",
        "src/users.ts": "import { Get, JsonController } from 'routing-controllers';\n"
                        "@JsonController()\nexport class Users { @Get('/a') list() {} }"}),
    "routing-controllers by files": ("routing-controllers", {
        "src/main.ts": "import express from 'express'; import { useExpressServer } from 'routing-controllers';\nconst app = express();\n"
                       "useExpressServer(app, { controllers: [__dirname + '/controllers/*.js'] }); app.listen(1)",
        "src/controllers/users.ts": "import { Get, Controller } from 'routing-controllers';\n"
                                    "@Controller('/x')\nexport class Users { @Get('/a') list() {} }"}),
    "NestJS": ("@nestjs/core", {
        "src/main.ts": "import { NestFactory } from '@nestjs/core'; import { AppModule } from './app.module';\n"
                       "async function bootstrap() { const app = await NestFactory.create(AppModule); app.setGlobalPrefix('x'); await app.listen(1) }\nbootstrap();",
        "src/app.module.ts": "import { Module, forwardRef } from '@nestjs/common'; import { Users } from './users';\n"
                             "@Module({ controllers: [Users] }) class UsersModule {}\n"
                             "@Module({ imports: [Other.forRoot(), forwardRef(() => UsersModule)] }) export class AppModule {}",
        "src/users.ts": "import { Controller, Get } from '@nestjs/common';\n@Controller('a')\nexport class Users { @Get() list() {} }"}),
    "inversify-express-utils": ("inversify-express-utils", {
        "src/main.ts": "import { InversifyExpressServer } from 'inversify-express-utils'; import { Container } from 'inversify'; import './users';\n"
                       "const server = new InversifyExpressServer(new Container(), null, { rootPath: '/x' });\n"
                       "server.setConfig((app) => { app.use(h) }); server.build().listen(1)",
        "src/users.ts": "import { controller, httpGet } from 'inversify-express-utils';\n"
                        "@controller('/a') export class Users { @httpGet('/') list() {} }"}),
    "a method that inversify-express-utils names": ("inversify-express-utils", {
        "src/main.ts": "import { InversifyExpressServer, controller, httpMethod } from 'inversify-express-utils';\n"
                       "@controller('/x') class Users { @httpMethod('get', '/a') list() {} }\nnew InversifyExpressServer(c).build().listen(1)"}),
    "tsoa": ("tsoa", {
        "src/main.ts": "import express from 'express'; import { RegisterRoutes } from '../build/routes';\n"
                       "const app = express(); RegisterRoutes(app); app.listen(1)",
        "src/users.ts": "import { Controller, Get, Route } from 'tsoa';\n@Route('x')\nexport class Users extends Controller { @Get('a') list() {} }"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CLASSES)
def test_class(tmp_path: Path, case: str) -> None:
    assert in_app(tmp_path, CLASSES[case]) == ["GET /x/a"]


@pytest.mark.parametrize("case", CONTROLLERS)
def test_typescript_class(tmp_path: Path, case: str) -> None:
    package, files = CONTROLLERS[case]
    assert of(tmp_path, {"package.json": ROOT % package, **files}) == ["GET /x/a"]


def test_methods_of_a_controllers_base_are_its_own(tmp_path: Path) -> None:
    files = {
        "package.json": ROOT % "@nestjs/core",
        "src/main.ts": """
            import { NestFactory } from '@nestjs/core'; import { Controller, Get, Post, Module } from '@nestjs/common';
            class Base { @Get(':id') one() {} @Get() list() {} }
            @Controller(['cats', 'dogs']) class Pets extends Base { @Post() add() {} }
            @Module({ controllers: [Pets] }) class App {}
            NestFactory.create(App).then(app => app.listen(1))""",
    }
    assert sorted(of(tmp_path, files)) == [
        "GET /cats", "GET /cats/{id}", "GET /dogs", "GET /dogs/{id}", "POST /cats", "POST /dogs",
    ]  # fmt: skip
