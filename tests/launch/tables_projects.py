"""Backends as code generators write them, whose tables nothing makes while a server imports them."""

from __future__ import annotations

__all__ = [
    "ALEMBIC_BROKEN",
    "DJANGO_USERS",
    "EXPRESS_KNEX",
    "EXPRESS_SQLITE",
    "FASTAPI_SEED",
    "FLASK_ALCHEMY",
    "FLASK_CLICK",
    "FLASK_MIGRATE_BROKEN",
    "FLASK_SQLITE",
    "TYPEORM_BROKEN",
]

FLASK_SQLITE = {
    "requirements.txt": "flask\n",
    "app.py": """
import sqlite3
from flask import Flask, g, jsonify, request

app = Flask(__name__)
DATABASE = "notes.db"


def get_db():
    if "db" not in g:
        g.db = sqlite3.connect(DATABASE)
    return g.db


def init_db():
    conn = sqlite3.connect(DATABASE)
    conn.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, title TEXT)")
    conn.execute("INSERT INTO notes (title) VALUES ('first')")
    conn.commit()
    conn.close()


@app.get("/notes")
def notes():
    return jsonify([row[1] for row in get_db().execute("SELECT * FROM notes")])


if __name__ == "__main__":
    init_db()
    app.run(debug=True, host="0.0.0.0", port=5000)
""",
}

FLASK_ALCHEMY = {
    "requirements.txt": "flask\nflask-sqlalchemy\n",
    "shop/__init__.py": """
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class Item(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(80))


def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    db.init_app(app)

    @app.get("/items")
    def items():
        return [item.name for item in Item.query.all()]

    return app
""",
    "run.py": """
from shop import Item, create_app, db

app = create_app()

if __name__ == "__main__":
    with app.app_context():
        db.create_all()
        if not Item.query.first():
            db.session.add(Item(name="pen"))
            db.session.commit()
    app.run(debug=True)
""",
}

FLASK_CLICK = {
    "requirements.txt": "flask\n",
    "README.md": "# Blog\n\n```bash\npip install flask\nflask init-db\nflask seed   # some posts\nflask run\n```\n",
    "schema.sql": "CREATE TABLE post (title TEXT);\n",
    "app.py": """
import sqlite3
import click
from flask import Flask, current_app

app = Flask(__name__)


@app.cli.command("init-db")
def init_db():
    sqlite3.connect("blog.db").executescript(open("schema.sql").read())
    click.echo("tables made")


@app.cli.command("seed")
def seed():
    with sqlite3.connect("blog.db") as db:
        db.execute("INSERT INTO post VALUES ('hello')")


@app.get("/posts")
def posts():
    return [row[0] for row in sqlite3.connect("blog.db").execute("SELECT title FROM post")]
""",
}

FASTAPI_SEED = {
    "requirements.txt": "fastapi\nsqlalchemy\nuvicorn\n",
    "README.md": "Fill it with `python -m app.seed`, then `uvicorn app.main:app`.\n",
    "app/__init__.py": "",
    "app/db.py": """
from sqlalchemy import Column, Integer, String, create_engine
from sqlalchemy.orm import declarative_base, sessionmaker

engine = create_engine("sqlite:///./app.db", connect_args={"check_same_thread": False})
Session = sessionmaker(bind=engine)
Base = declarative_base()


class Task(Base):
    __tablename__ = "tasks"
    id = Column(Integer, primary_key=True)
    title = Column(String)
""",
    "app/seed.py": """
from .db import Session, Task

with Session() as session:
    session.add(Task(title="write"))
    session.commit()
""",
    "app/main.py": """
import uvicorn
from fastapi import FastAPI
from .db import Base, Session, Task, engine

app = FastAPI()


@app.get("/tasks")
def tasks():
    with Session() as session:
        return [task.title for task in session.query(Task)]


def main():
    Base.metadata.create_all(engine)
    uvicorn.run("app.main:app", reload=True)


if __name__ == "__main__":
    main()
""",
}

DJANGO_USERS = {
    "requirements.txt": "django\ndjangorestframework\n",
    "README.md": "```\npython manage.py migrate\npython manage.py seed_db\npython manage.py runserver\n```\n",
    "manage.py": """
import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
""",
    "config/__init__.py": "",
    "config/settings.py": """
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "x"
DEBUG = True
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.admin", "django.contrib.sessions",
    "django.contrib.messages", "rest_framework", "users", "blog.apps.BlogConfig",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
ROOT_URLCONF = "config.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
AUTH_USER_MODEL = "users.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
""",
    "config/urls.py": """
from django.urls import include, path
from rest_framework.routers import DefaultRouter
from blog.views import PostViewSet

router = DefaultRouter()
router.register("posts", PostViewSet)
urlpatterns = [path("api/", include(router.urls))]
""",
    "users/__init__.py": "",
    "users/migrations/__init__.py": "",
    "users/models.py": "from django.contrib.auth.models import AbstractUser\n\n\nclass User(AbstractUser):\n    pass\n",
    "blog/__init__.py": "",
    "blog/apps.py": "from django.apps import AppConfig\n\n\nclass BlogConfig(AppConfig):\n    name = 'blog'\n",
    "blog/models.py": """
from django.conf import settings
from django.db import models


class Post(models.Model):
    title = models.CharField(max_length=100)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE)
""",
    "blog/views.py": """
from rest_framework import serializers, viewsets
from .models import Post


class PostSerializer(serializers.ModelSerializer):
    class Meta:
        model = Post
        fields = "__all__"


class PostViewSet(viewsets.ModelViewSet):
    queryset = Post.objects.all()
    serializer_class = PostSerializer
""",
    "blog/management/__init__.py": "",
    "blog/management/commands/__init__.py": "",
    "blog/management/commands/seed_db.py": """
from django.core.management.base import BaseCommand
from blog.models import Post


class Command(BaseCommand):
    def handle(self, *args, **options):
        Post.objects.create(title="first")
""",
}

EXPRESS_SQLITE = {
    "package.json": """{"name": "books", "scripts": {"start": "node server.js", "seed": "node seed.js"},
 "dependencies": {"express": "^4.19.0", "sql.js": "^1.11.0"}}""",
    "seed.js": """
const fs = require('fs');
require('sql.js')().then((SQL) => {
  const db = new SQL.Database();
  db.run('CREATE TABLE books (title TEXT)');
  db.run('INSERT INTO books VALUES (?)', ['Emma']);
  fs.writeFileSync('books.db', db.export());
  console.log('one book');
});
""",
    "server.js": """
const express = require('express');
const fs = require('fs');
const app = express();
app.get('/books', async (request, response) => {
  const SQL = await require('sql.js')();
  const db = new SQL.Database(fs.readFileSync('books.db'));
  response.json(db.exec('SELECT title FROM books')[0].values.map(([title]) => ({ title })));
});
app.listen(process.env.PORT || 3000);
""",
}

EXPRESS_KNEX = {
    "package.json": """{"name": "todos",
 "scripts": {"start": "node index.js", "migrate": "knex migrate:latest", "seed": "knex seed:run"},
 "dependencies": {"express": "^4.19.0", "knex": "^3.1.0", "better-sqlite3": "^11.0.0"}}""",
    "knexfile.js": """
module.exports = {
  development: { client: 'better-sqlite3', connection: { filename: './dev.sqlite3' }, useNullAsDefault: true },
};
""",
    "migrations/20240101_todos.js": """
exports.up = (knex) => knex.schema.createTable('todos', (table) => { table.increments(); table.string('title'); });
exports.down = (knex) => knex.schema.dropTable('todos');
""",
    "seeds/todos.js": "exports.seed = (knex) => knex('todos').insert({ title: 'write' });\n",
    "index.js": """
const express = require('express');
const knex = require('knex')(require('./knexfile').development);
const app = express();
app.get('/todos', async (request, response) => response.json(await knex('todos').select('title')));
app.listen(process.env.PORT || 3000);
""",
}

# The second revision adds a column that the first one has already: they never ran from the beginning.
_REVISIONS = {
    "1_items.py": """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "1", None


def upgrade():
    op.create_table("other", sa.Column("id", sa.Integer, primary_key=True), sa.Column("note", sa.String(80)))
""",
    "2_note.py": """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "2", "1"


def upgrade():
    op.add_column("other", sa.Column("note", sa.String(80)))
""",
}

FLASK_MIGRATE_BROKEN = {
    "requirements.txt": "flask\nflask-sqlalchemy\nflask-migrate\n",
    "app.py": """
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
db = SQLAlchemy(app)
Migrate(app, db)
app.app_context().push()


class Item(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(80))


@app.get("/items")
def items():
    return [item.name for item in Item.query.all()]
""",
    "migrations/alembic.ini": "[alembic]\n",
    "migrations/script.py.mako": "",
    "migrations/env.py": """
from alembic import context
from flask import current_app

db = current_app.extensions["migrate"].db
current_app.app_context().push()
with db.engine.connect() as connection:
    context.configure(connection=connection, target_metadata=db.metadata)
    with context.begin_transaction():
        context.run_migrations()
""",
    **{f"migrations/versions/{name}": text for name, text in _REVISIONS.items()},
}

ALEMBIC_BROKEN = {
    "requirements.txt": "fastapi\nsqlalchemy[asyncio]\naiosqlite\nalembic\n",
    "store.py": """
import os
from functools import lru_cache
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

URL = os.getenv("DATABASE_URL", "sqlite+aiosqlite:///shop.db")


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@lru_cache
def engine():
    return create_async_engine(URL)
""",
    "main.py": """
from fastapi import FastAPI
from sqlalchemy import select
from store import Item, engine

app = FastAPI()


@app.get("/items")
async def items():
    async with engine().connect() as connection:
        return [row.name for row in await connection.execute(select(Item.name))]
""",
    "alembic.ini": "[database]\nscript_location = migrations\nprepend_sys_path = .\n",
    "migrations/script.py.mako": "",
    "migrations/env.py": """
import asyncio
from alembic import context
from store import Base, engine


def run(connection):
    context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


async def connect():
    async with engine().connect() as connection:
        await connection.run_sync(run)


asyncio.run(connect())
""",
    **{f"migrations/versions/{name}": text for name, text in _REVISIONS.items()},
}

TYPEORM_BROKEN = {
    "package.json": """{
  "main": "server.js",
  "scripts": {"typeorm": "typeorm -d source.js"},
  "dependencies": {"express": "^4.19.0", "typeorm": "^0.3.20", "sql.js": "^1.10.0", "reflect-metadata": "^0.2.0"}
}
""",
    "migrations/1-items.js": """
module.exports = class Items1700000000000 {
  async up(runner) {
    await runner.query("INSERT INTO items (name) SELECT name FROM users");
  }
  async down() {}
};
""",
    "source.js": """
const { DataSource, EntitySchema } = require("typeorm");

const columns = { id: { type: Number, primary: true, generated: true }, name: { type: String } };
const Item = new EntitySchema({ name: "Item", tableName: "items", columns });
exports.source = new DataSource({
  type: "sqljs",
  location: "shop.sqlite",
  autoSave: true,
  entities: [Item],
  migrations: [require("./migrations/1-items.js")],
});
""",
    "server.js": """
const express = require("express");
const { source } = require("./source");

const app = express();
app.get("/items", async (request, response) => response.json(await source.getRepository("Item").find()));
source.initialize().then(() => app.listen(process.env.PORT || 3000));
""",
}
