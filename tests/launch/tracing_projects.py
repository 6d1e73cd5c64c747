"""Bookshops with one query per book: what tracing is for."""

from __future__ import annotations

from collections.abc import Mapping

from launch_kit import target

from preview.detection import Origin, Server, StartPlan, Toolchain, Variable

__all__ = ["BOOKS", "SHOPS"]

BOOKS = 12

FASTAPI = f"""
import time
from fastapi import FastAPI
from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool
engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={{"check_same_thread": False}})
with engine.begin() as db:
    db.execute(text("create table books (id integer primary key, author integer)"))
    db.execute(text("create table authors (id integer primary key, name text)"))
    for one in range({BOOKS}):
        db.execute(text("insert into books values (:id, :id)"), {{"id": one}})
        db.execute(text("insert into authors values (:id, 'secret-name')"), {{"id": one}})
app = FastAPI()
@app.get("/books/{{shelf}}")
def books(shelf: str):
    with engine.connect() as db:
        found = db.execute(text("select id, author from books")).all()
        name = text("select name from authors where id = :id")
        return [db.execute(name, {{"id": one.author}}).scalar() for one in found]
@app.get("/busy")
def busy():
    time.sleep(0.1)
@app.get("/crash")
def crash():
    with engine.connect() as db:
        db.execute(text("select * from missing"))
"""
FLASK = f"""
import sqlite3, time
from flask import Flask
db = sqlite3.connect(":memory:", check_same_thread=False)
db.execute("create table books (id integer primary key, author integer)")
db.execute("create table authors (id integer primary key, name text)")
db.executemany("insert into books values (?, ?)", [(one, one) for one in range({BOOKS})])
db.executemany("insert into authors values (?, 'secret-name')", [(one,) for one in range({BOOKS})])
app = Flask(__name__)
@app.get("/books/<shelf>")
def books(shelf):
    found = db.execute("select id, author from books").fetchall()
    return [db.execute("select name from authors where id = ?", (author,)).fetchone()[0] for _, author in found]
@app.get("/busy")
def busy():
    time.sleep(0.1)
    return "ok"
@app.get("/crash")
def crash():
    db.cursor().execute("select * from missing")
"""
DJANGO = f"""
import time
from django.db import connection
from django.http import JsonResponse
from django.urls import path
SECRET_KEY, DEBUG, ROOT_URLCONF, ALLOWED_HOSTS = "x" * 50, True, "project", []
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "books.sqlite3"}}}}
def ask(sql, *values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()
def books(request, shelf):
    ask("create table if not exists authors as select 1 as id, 'secret-name' as name")
    return JsonResponse([ask("select name from authors where id = %s", one) for one in range({BOOKS})], safe=False)
def busy(request):
    time.sleep(0.1)
    return JsonResponse([], safe=False)
def crash(request):
    ask("select * from missing")
urlpatterns = [path("books/<shelf>", books), path("crash", crash), path("busy", busy)]
"""
EXPRESS = f"""
const express = require('express');
const http = require('http');
const app = express();
const stock = http.createServer((request, response) => response.end('1')).listen(0);
const ask = (path) => new Promise((done, failed) => {{
  http.get({{ port: stock.address().port, path, agent: false }}, (response) => {{
    response.resume(); response.on('end', done);
  }}).on('error', failed);
}});
app.get('/books/:shelf', async (request, response) => {{
  for (let one = 0; one < {BOOKS}; one += 1) await ask('/stock?of=secret-name');
  response.json([]);
}});
app.get('/busy', function busy(request, response) {{
  const until = Date.now() + 100;
  while (Date.now() < until);
  response.json([]);
}});
app.get('/crash', () => {{ throw new Error('no'); }});
app.listen(process.env.PORT);
"""

_DJANGO_VARIABLES = {
    "DJANGO_SETTINGS_MODULE": Variable("DJANGO_SETTINGS_MODULE", "project", Origin.PROJECT),
    "SECRET_KEY": Variable("SECRET_KEY", "x", Origin.PROJECT),
}
_PACKAGE = '{"name": "shop", "main": "server.js", "dependencies": {"express": "^5.1.0"}}'

SHOPS: Mapping[str, tuple[Mapping[str, str], StartPlan]] = {
    "fastapi": (
        {"requirements.txt": "fastapi\nsqlalchemy>=2.1\n", "main.py": FASTAPI},
        StartPlan("fastapi", Toolchain.PYTHON, Server.ASGI, target("main", "app", framework="fastapi"), trace=True),
    ),
    "flask": (
        {"requirements.txt": "flask\n", "app.py": FLASK},
        StartPlan("flask", Toolchain.PYTHON, Server.WSGI, target("app", "app", framework="flask"), trace=True),
    ),
    "django": (
        {"requirements.txt": "django\n", "project.py": DJANGO},
        StartPlan(
            "django",
            Toolchain.PYTHON,
            Server.DJANGO,
            target("project", "", framework="django"),
            variables=_DJANGO_VARIABLES,
            trace=True,
        ),
    ),
    "express": (
        {"package.json": _PACKAGE, "server.js": EXPRESS},
        StartPlan("express", Toolchain.NODE, Server.NODE, None, command=("server.js",), trace=True),
    ),
}
