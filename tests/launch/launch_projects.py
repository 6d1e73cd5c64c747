"""Small projects of each kind, as texts; what each says tells how it was started."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["DJANGO", "EXPRESS", "FASTAPI", "FLASK", "FLASK_FACTORY", "NODE", "PLAIN"]

Files = Mapping[str, str]

FASTAPI: Files = {
    "requirements.txt": "fastapi\n",
    "backend/shop/main.py": """
import os
import uvicorn
from fastapi import FastAPI
from shop.names import NAME

app = FastAPI()

@app.get("/health")
def health() -> dict[str, str]:
    return {"name": NAME, "cwd": os.getcwd(), "path": os.environ["PYTHONPATH"]}

uvicorn.run(app, port=8000)
""",
    "backend/shop/names.py": 'NAME = "shop"\n',
}

FLASK: Files = {
    "requirements.txt": "flask\n",
    "app.py": """
import time
from flask import Flask, Response

app = Flask(__name__)

@app.get("/stream")
def stream():
    def parts():
        yield "first\\n"
        time.sleep(600)
    return Response(parts())

@app.get("/fail")
def fail():
    raise ZeroDivisionError

app.run(port=5000)
""",
}

FLASK_FACTORY: Files = {
    "requirements.txt": "flask\n",
    "src/shop/__init__.py": """
from flask import Flask

def create_app(config=None):
    app = Flask(__name__)

    @app.get("/")
    def home():
        return "made by a factory"

    return app
""",
}

DJANGO: Files = {
    "requirements.txt": "django\n",
    "site/manage.py": """
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
execute_from_command_line(sys.argv)
""",
    "site/config/__init__.py": "",
    "site/config/settings.py": """
import os
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = False
ALLOWED_HOSTS = ["shop.example"]
SECURE_SSL_REDIRECT = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.staticfiles"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "config.urls"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "assets"]
ASGI_APPLICATION = "config.asgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DB_FILE"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
""",
    "site/config/urls.py": """
from django.db import connection
from django.http import HttpResponse
from django.urls import path

def home(request):
    return HttpResponse(", ".join(connection.introspection.table_names()) + " " + type(request).__name__)

urlpatterns = [path("", home)]
""",
    "site/config/asgi.py": """
import os
from django.core.asgi import get_asgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_asgi_application()
""",
    "site/assets/logo.txt": "a logo",
}

EXPRESS: Files = {
    "package.json": '{"name": "shop", "main": "server.js", "dependencies": {"express": "^5.1.0"}}',
    "server.js": """
const express = require('express');
const app = express();
app.get('/', (request, response) => response.send('express'));
app.listen(3000, () => console.log('listening'));
""",
}

# No package at all: quick to start.
NODE: Files = {
    "package.json": '{"name": "plain", "scripts": {"start": "node server.mjs"}}',
    "server.mjs": """
import cluster from 'node:cluster';
import http from 'node:http';
import net from 'node:net';
if (process.env.WORKERS && cluster.isPrimary) {
  cluster.fork();
  cluster.fork();
} else {
  const helper = net.createServer().listen(0, () => console.log('helper', helper.address().port));
  const server = http.createServer((request, response) => response.end(`worker ${cluster.isWorker}`));
  server.on('listening', () => console.log('event', server.address().port));
  server.listen({ port: 3000, host: '0.0.0.0' }, () => console.log('callback', server.listening));
}
""",
}

PLAIN: Files = {
    "requirements.txt": "",
    "serve.py": """
import http.server, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if self.path == "/health" else 200)
        self.end_headers()
        self.wfile.write(os.environ.get("SECRET_KEY", "").encode())

print("arguments", sys.argv[1:], flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
""",
}
