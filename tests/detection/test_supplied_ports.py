"""All ports at which a project expects its servers lead to the preview's own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from preview.backing.backing import PreviewServer, PreviewServers
from preview.detection import ServiceKind, ServiceNeed, detect
from preview.detection.supplied.ports import with_ports

ALL = frozenset({ServiceKind.POSTGRESQL, ServiceKind.MYSQL, ServiceKind.REDIS})
POSTGRESQL = ServiceNeed(ServiceKind.POSTGRESQL, None, "", address=("localhost", 5432))


@pytest.mark.parametrize(
    ("code", "ports"),
    [
        ("import psycopg\npsycopg.connect('host=db port=5433 dbname=shop user=joe')\n", (5433,)),
        ("import psycopg\nDSN = 'dbname=shop user=joe password=x port=6000'\npsycopg.connect(DSN)\n", (6000,)),
        ("import psycopg\npsycopg.connect('host=pg.example port=5433 dbname=shop')\n", ()),
        ("import psycopg\npsycopg.connect('host=db port=5432 dbname=shop')\n", ()),
        ("import psycopg\npsycopg.connect(host='db', port=5434, dbname='shop')\n", (5434,)),
        ("import psycopg\npsycopg.connect(host='pg.example', port=5434)\n", ()),
        ("import psycopg\nA = 'postgresql://a:b@db/x'\nB = 'postgresql+psycopg://a:b@localhost:5439/y'\n", (5439,)),
        ("import psycopg\nA = 'postgresql://a:b@db:22/x'\npsycopg.connect(A)\n", ()),
    ],
)
def test_ports_of_texts_calls_and_second_addresses_are_found(tmp_path: Path, code: str, ports: tuple[int, ...]) -> None:
    (tmp_path / "main.py").write_text(f"from fastapi import FastAPI\napp = FastAPI()\n{code}")
    (tmp_path / "requirements.txt").write_text("fastapi\npsycopg\n")
    (need,) = detect(tmp_path, supplied=ALL).services
    named = {*need.ports, need.address[1] if need.address else 0} - {5432, 22}
    assert named == set(ports)


def test_a_variable_of_the_projects_own_file_names_a_port(tmp_path: Path) -> None:
    code = "CONFIG = {'host': os.getenv('DB_HOST'), 'port': os.getenv('DB_PORT')}\nmysql.connector.connect(**CONFIG)\n"
    (tmp_path / "main.py").write_text(f"import os, mysql.connector\nfrom flask import Flask\napp = Flask('a')\n{code}")
    (tmp_path / "requirements.txt").write_text("flask\nmysql-connector-python\n")
    (tmp_path / ".env").write_text("DB_HOST=localhost\nDB_PORT=3307\n")
    (need,) = detect(tmp_path, supplied=ALL).services
    assert (need.kind, need.ports) == (ServiceKind.MYSQL, (3307,))


def test_a_node_project_with_two_caches_gets_both_ports(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"main": "a.js", "dependencies": {"express": "4", "redis": "4"}}')
    (tmp_path / "a.js").write_text(
        "const express = require('express'); const redis = require('redis');\n"
        "const one = redis.createClient({url: 'redis://localhost:6379'});\n"
        "const two = redis.createClient({url: 'redis://:pw@cache:6390/2'});\n"
        "const app = express(); app.listen(3000);\n"
    )
    (need,) = detect(tmp_path, supplied=ALL).services
    assert (need.kind, 6390 in need.ports) == (ServiceKind.REDIS, True)


def test_every_port_of_a_plan_is_served_within_bounds() -> None:
    server = PreviewServer(None, None)  # type: ignore[arg-type]  # no connection is made
    servers = PreviewServers({ServiceKind.POSTGRESQL: server})
    for ports, served in (
        ((5433, 5434), {5432, 5433, 5434}),
        ((0, -1, 70000), {5432}),
        (tuple(range(2000, 3000)), {5432, *range(2000, 2008)}),
    ):
        need = ServiceNeed(ServiceKind.POSTGRESQL, None, "", supplied=True, ports=ports)
        assert set(servers.reaches([need])) == served


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://" * 100_000,
        "redis://a:b@h:1," * 50_000,
        "host=a port=1 " * 100_000,
        "port=" + "host=x" + " " * 1_000_000,
        "mysql://" + "x@" * 500_000,
    ],
    ids=["schemes", "hosts", "words", "spaces", "users"],
)
def test_hostile_texts_take_no_time(text: str) -> None:
    started = time.process_time()
    (need,) = with_ports([POSTGRESQL], [text])
    assert len(need.ports) <= 8
    assert time.process_time() - started < 2


_NEST = {
    "package.json": '{"scripts": {"start": "node src/main.js"}, "dependencies": {"express": "4", "pg": "8"}}',
    "src/main.js": "require('./typeorm');\nconst app = require('express')();\napp.listen(process.env.PORT);\n",
}
_CLASS_OF_SETTINGS = (
    "class ServerConfig {\n  dbPort = Number(process.env.STORE_PORT) || 5433;\n"
    "  dbHost = process.env.STORE_HOST || 'localhost';\n  dbUser = process.env.STORE_USER || 'root';\n}\n"
    "const serverConfig = new ServerConfig();\nconst { DataSource } = require('typeorm');\n"
    "new DataSource({type: 'postgres', host: serverConfig.dbHost, port: serverConfig.dbPort, entities: []});\n"
)
_ASKED_BY_NAME = (
    "const { DataSource } = require('typeorm');\n"
    "module.exports = (configService) => new DataSource({type: 'postgres', entities: [],\n"
    "  host: configService.get('STORE_HOST'), port: Number(this.configService.getOrThrow('STORE_PORT'))});\n"
)


@pytest.mark.parametrize("source", [_CLASS_OF_SETTINGS, _ASKED_BY_NAME])
@pytest.mark.parametrize("file", [".env.dev", ".env"])
def test_the_port_that_a_variable_has_is_served(tmp_path: Path, source: str, file: str) -> None:
    files = {**_NEST, "src/typeorm.js": source, file: "STORE_PORT=5433\nSTORE_HOST=10.0.0.5\n"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    plan = detect(tmp_path, supplied=ALL)
    (need,) = plan.services
    assert (need.kind, 5433 in need.ports) == (ServiceKind.POSTGRESQL, True)
    assert plan.variables["STORE_HOST"].value == "localhost"


def test_a_port_of_a_variable_for_mail_is_not_the_database_s(tmp_path: Path) -> None:
    source = "require('nodemailer').createTransport({host: process.env.MAIL_HOST, port: process.env.MAIL_PORT});\n"
    files = {**_NEST, "src/typeorm.js": source, ".env.dev": "MAIL_PORT=2525\nMAIL_HOST=mail\n"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert [2525 in need.ports for need in detect(tmp_path, supplied=ALL).services] == [False]


def test_a_part_of_the_settings_with_a_name_of_its_own_is_the_one_that_is_asked_for(tmp_path: Path) -> None:
    source = (
        "const { registerAs } = require('@nestjs/config');\n"
        "registerAs('files', () => ({ port: process.env.FILES_PORT, host: process.env.FILES_HOST }));\n"
        "registerAs('store', () => { return { port: process.env.STORE_PORT, host: process.env.STORE_HOST }; });\n"
        "const { DataSource } = require('typeorm');\n"
        "module.exports = (config) => new DataSource({ type: 'postgres', entities: [],\n"
        "  host: config.get('store.host'), port: config.get('store.port') });\n"
    )
    example = "FILES_PORT=9000\nFILES_HOST=files.example\nSTORE_PORT=5433\nSTORE_HOST=store.example\n"
    for name, text in {**_NEST, "src/typeorm.js": source, ".env.example": example}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    plan = detect(tmp_path, supplied=ALL)
    assert [need.ports for need in plan.services] == [(5433,)]
    assert [plan.variables[name].value for name in ("FILES_HOST", "STORE_HOST")] == ["files.example", "localhost"]
