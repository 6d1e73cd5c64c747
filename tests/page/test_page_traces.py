"""The waterfall of a request: with a hostile application's spans, and with those of a real one."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from page_kit import Running, Visit, visit
from playwright.sync_api import Browser, Route, expect
from test_page_quality import serious
from test_page_settings import open_settings
from understand_kit import HOSTILE, MadeUpProject, record

SHOP = """
import sqlite3
from fastapi import FastAPI

app = FastAPI()
db = sqlite3.connect(":memory:", check_same_thread=False)
db.execute("create table authors (id integer primary key, name text)")
db.executemany("insert into authors (name) values (?)", [("Jane",)] * 12)


@app.get("/health")
def health():
    return {"status": "ok"}


@app.get("/books")
def list_books():
    return [db.execute("select name from authors where id = ?", (one,)).fetchone() for one in range(1, 13)]
"""
TRACED = {"preview.toml": "[start]\ntrace = true\n"}
FLASK = """
import sqlite3
from flask import Flask, jsonify

app = Flask(__name__)
db = sqlite3.connect(":memory:", check_same_thread=False)
db.execute("create table authors (id integer primary key, name text)")
db.executemany("insert into authors (name) values (?)", [("Jane",)] * 12)


@app.get("/books")
def list_books():
    ask = "select name from authors where id = ?"
    return jsonify([db.execute(ask, (one,)).fetchone() for one in range(1, 13)])
"""
DJANGO = {
    "manage.py": """
import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
execute_from_command_line(sys.argv)
""",
    "shop/__init__.py": "",
    "shop/settings.py": """
SECRET_KEY, DEBUG, ALLOWED_HOSTS, ROOT_URLCONF = "x" * 50, True, ["*"], "shop.urls"
INSTALLED_APPS = ["shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
""",
    "shop/models.py": """
from django.db import models


class Author(models.Model):
    name = models.TextField()


class Book(models.Model):
    author = models.ForeignKey(Author, models.CASCADE)
""",
    "shop/migrations/__init__.py": "",
    "shop/migrations/0001_initial.py": """
import django.db.models.deletion
from django.db import migrations, models


def seed(apps, _):
    author, book = apps.get_model("shop", "Author"), apps.get_model("shop", "Book")
    for _ in range(12):
        book.objects.create(author=author.objects.create(name="Jane"))


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel("Author", [("id", models.AutoField(primary_key=True)), ("name", models.TextField())]),
        migrations.CreateModel("Book", [
            ("id", models.AutoField(primary_key=True)),
            ("author", models.ForeignKey(to="shop.author", on_delete=django.db.models.deletion.CASCADE)),
        ]),
        migrations.RunPython(seed),
    ]
""",
    "shop/urls.py": """
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.http import require_GET

from shop.models import Book


@require_GET
def list_books(request):
    return JsonResponse([book.author.name for book in Book.objects.all()], safe=False)


urlpatterns = [path("books", list_books)]
""",
    "requirements.txt": "django\n",
}
EXPRESS = """
const express = require('express');
const { Pool } = require('pg');

const pool = new Pool({ connectionString: process.env.DATABASE_URL });
const app = express();
const ready = pool.query('create table authors (id serial primary key, name text)').then(() => {
  return pool.query("insert into authors (name) select 'Jane' from generate_series(1, 12)");
});

app.get('/books', async (request, response) => {
  await ready;
  const names = [];
  for (let one = 1; one <= 12; one += 1) {
    names.push((await pool.query('select name from authors where id = $1', [one])).rows[0].name);
  }
  response.json(names);
});
app.listen(process.env.PORT);
"""
PACKAGE = '{"name": "shop", "main": "server.js", "dependencies": {"express": "^5.1.0", "pg": "^8.16.0"}}'
AUTHORS = "select name from authors where id = ?"
# The files, and the repeated statement as the program wrote it.
SHOPS: dict[str, tuple[dict[str, str], str]] = {
    "fastapi": ({"main.py": SHOP, "requirements.txt": "fastapi\nuvicorn\n"}, AUTHORS),
    "flask": ({"app.py": FLASK, "requirements.txt": "flask\n"}, AUTHORS),
    "django": (DJANGO, 'FROM "shop_author" WHERE "shop_author"."id" = %s'),
    "express": ({"server.js": EXPRESS, "package.json": PACKAGE}, AUTHORS.replace("?", "$1")),
}
ALWAYS = ("fastapi",)
KINDS = [one if one in ALWAYS else pytest.param(one, marks=pytest.mark.long) for one in SHOPS]


def span(number: int, **more: Any) -> dict[str, Any]:
    made = {
        "span_id": f"{number + 1:016x}",
        "parent_id": f"{number:016x}" if number else None,
        "kind": ("request", "sql", "call", "cache", "other")[number % 5],
        "name": f"{HOSTILE} {number}",
        "offset_ms": number * 0.1,
        "duration_ms": 10_000 if number == 7 else 0.05,
        "detail": HOSTILE * 80,
        "status": 500,
        "error": HOSTILE,
        "source": "otlp",
    }
    return made | more


def trace(spans: list[dict[str, Any]]) -> dict[str, Any]:
    hint = {"kind": "slow_statement", "sentence": HOSTILE * 5, "statement": "s", "count": 1, "duration_ms": 1.0}
    return {
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "number": 1,
        "name": HOSTILE,
        "request_id": "req-38",
        "started_at": "2026-11-20T12:00:00Z",
        "duration_ms": 24.0,
        "status": 200,
        "failed": True,
        "span_count": len(spans),
        "sql_count": 3,
        "sql_ms": 2.0,
        "call_count": 1,
        "dropped": 12,
        "hints": [hint | {"span_ids": [spans[1]["span_id"]]}],
        "preview_id": "preview_data",
        "spans": spans,
    }


def open_record(seen: Visit) -> None:
    seen.page.get_by_role("button", name="Requests", exact=True).click()
    seen.page.get_by_role("tab", name="Recorded").click()
    seen.page.get_by_role("button", name=re.compile("books.38")).click()


@pytest.mark.long
def test_hostile_spans_neither_act_on_the_page_nor_widen_it_and_axe_is_content(
    running: Running, browser: Browser
) -> None:
    # A circle, the same id twice, and more spans than are shown.
    spans = [span(number) for number in range(900)] + [span(5, parent_id=span(6)["span_id"]), span(5)]
    whole = trace(spans)

    def answer(route: Route) -> None:
        page = {
            "items": [whole],
            "next": None,
            "preview_id": "preview_data",
            "tracing": True,
            "dropped": 0,
            "removed": 0,
        }
        is_list = "/traces?" in route.request.url
        route.fulfill(content_type="application/json", body=json.dumps(page if is_list else whole))

    with visit(browser, scheme="light", width=390) as seen:
        page = seen.page
        page.on("dialog", lambda one: seen.violations.append(one.message))
        data = MadeUpProject()
        data.records = [record(38)]
        data.open(seen, running, "trace-user")
        page.route(re.compile(r"/preview/traces"), answer)
        open_record(seen)
        found = page.get_by_role("region", name="Trace", exact=True)
        expect(found).to_contain_text("12 spans of this request were not kept")
        expect(found).to_contain_text("\\u202e")
        assert found.get_by_role("listitem").count() <= 305
        found.get_by_role("group").first.locator("summary").click()
        expect(found.locator("pre").first).to_be_visible()
        assert serious(seen) == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
        assert seen.violations == []


def turn_on(seen: Visit) -> None:
    """Turn tracing on by the page's switch."""
    pane = open_settings(seen)
    switch = pane.get_by_role("checkbox", name=re.compile("^Trace requests"))
    expect(switch).not_to_be_checked()
    switch.check()
    pane.get_by_role("form", name="Start options").get_by_role("button", name="Save").click()
    pane.get_by_text("Saved. It applies at the next launch.").wait_for()


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_query_for_each_row_is_seen_beside_the_request(running: Running, browser: Browser, kind: str) -> None:
    """The story with a real service: nothing is made up."""
    files, statement = SHOPS[kind]
    with visit(browser) as seen:
        page = seen.page
        seen.sign_in(running, f"tracing-{kind}")
        if kind in ALWAYS:
            seen.drop_zip("bookshop", files)
            turn_on(seen)
            seen.show_pane("Requests")
        else:
            seen.drop_zip("bookshop", files | TRACED)
        seen.launch()
        seen.pick("GET", "/books")
        seen.send()
        seen.wait_for_answer("200 OK")
        page.get_by_role("tab", name="Recorded").click()
        listed = page.get_by_role("region", name="Recorded requests")
        listed.get_by_role("button", name=re.compile("books")).first.click()
        found = page.get_by_role("region", name="Trace", exact=True)
        # Django sets a new connection up first.
        expect(found).to_contain_text(re.compile(r"1\d statements in"))
        expect(found.get_by_text("The same statement ran 12 times")).to_have_count(1)
        expect(found).to_contain_text("9 more of the same")
        expect(found.get_by_role("listitem").filter(has_text="first byte")).to_be_visible()
        found.get_by_role("button", name=re.compile("Show all")).click()
        rows = found.locator("summary").filter(has_text="hint")
        expect(rows).to_have_count(12)
        rows.last.click()
        expect(found.locator("pre").filter(has_text=statement).last).to_be_visible()
        assert not seen.violations
