"""Serves HTTP on $PORT: ``POST /NAME`` runs ``attack`` of the module NAME with the JSON that it is given.

Whoever is forked from a template is served by WSGI (``application``), and does the same.
"""

import http.server
import importlib
import json
import os


def told_of(name, world):
    try:
        return {"done": True, "told": str(importlib.import_module(name).attack(world))}
    except Exception as error:
        return {"done": False, "told": f"{type(error).__name__}: {error}"}


def application(environ, start_response):
    answer = {"here": os.getcwd()}
    if environ["REQUEST_METHOD"] == "POST":
        world = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        answer = told_of(environ["PATH_INFO"].strip("/"), world)
    start_response("200 OK", [("content-type", "application/json")])
    return [json.dumps(answer).encode()]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"here": os.getcwd()})

    def do_POST(self):
        world = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.answer(told_of(self.path.strip("/"), world))

    def answer(self, told):
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()


if __name__ == "__main__":
    main()
