"""A small shop with a login, volatile fields and a bug; and helpers to call its preview."""

from __future__ import annotations

from typing import Any

from http_kit import World

# Users log in; carts need their token; ids, times and tokens are new each time.
SHOP = """
import datetime, json, os, secrets, sqlite3, sys, traceback, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
BOOKS = [{"title": "Emma", "price": 10, "pages": 0}, {"title": "Persuasion", "price": 12, "pages": 240}]
TOKENS = set()
def run(query, *values):
    with sqlite3.connect("shop.db") as base:
        return base.execute(query, values).fetchall()
run("create table if not exists orders (id text primary key, title text)")
def volatile():
    now = datetime.datetime.now(datetime.UTC).isoformat()
    return {"request": str(uuid.uuid4()), "at": now, "took_ms": secrets.randbelow(5)}
class Handler(BaseHTTPRequestHandler):
    def answer(self, status, value, **headers):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(body)
    def handle_any(self):
        try:
            self.handle_it()
        except Exception:
            traceback.print_exc()
            self.answer(500, {"error": "internal"})
    do_GET = do_POST = handle_any
    def handle_it(self):
        path = self.path.partition("?")[0]
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        if path == "/books":
            self.answer(200, {"items": BOOKS, "count": len(BOOKS), **volatile()})
        elif path.startswith("/books/"):
            book = BOOKS[int(path[7:])]
            self.answer(200, {**book, "cents_a_page": round(100 * book["price"] / book["pages"], 1), **volatile()})
        elif path == "/login":
            if body.get("password") != "correct horse":
                return self.answer(401, {"error": "wrong password"})
            TOKENS.add(token := secrets.token_urlsafe(32))
            self.answer(200, {"access_token": token}, Set_Cookie=f"sid={secrets.token_hex(16)}; Path=/")
        elif path == "/orders" and self.command == "POST":
            if self.headers.get("Authorization", "")[7:] not in TOKENS:
                return self.answer(401, {"error": "no token"})
            made = str(uuid.uuid4())
            run("insert into orders values (?, ?)", made, body["title"])
            self.answer(201, {"id": made, "title": body["title"]})
        elif path.startswith("/orders/"):
            found = run("select title from orders where id = ?", path[8:])
            self.answer(200 if found else 404, {"title": found[0][0]} if found else {})
        elif path == "/orders":
            self.answer(200, {"count": len(run("select id from orders"))})
        else:
            self.answer(200, {"ok": True})
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FIXED = SHOP.replace(
    'round(100 * book["price"] / book["pages"], 1)', 'book["pages"] and round(100 * book["price"] / book["pages"], 1)'
)
FILES = {"main.py": SHOP, "preview.toml": '[start]\ncommand = "python main.py"\n'}


class Caller:
    """Calls a launched preview by the API, as its owner."""

    def __init__(self, world: World, generation: str, token: str) -> None:
        self.world = world
        self.generation = generation
        self.token = token
        self.path = f"/api/v1/generations/{generation}/preview"

    @classmethod
    async def launch(cls, world: World, files: dict[str, str]) -> Caller:
        generation = await world.keep(files)
        launched = await world.launch(generation)
        return cls(world, generation, launched["session_token"])

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """Send a request through the service; it is recorded in full."""
        envelope = {"method": method, "path": path, "body": body, "headers": headers}
        got = await self.world.ask("POST", f"{self.path}/request", envelope, headers={"X-Preview-Token": self.token})
        assert got.status_code == 200, got.text
        found: dict[str, Any] = got.json()
        return found

    async def ask(self, method: str, path: str, body: Any = None, *, status: int = 200, user: str = "ann") -> Any:
        got = await self.world.ask(method, f"{self.path}{path}", body, user=user)
        assert got.status_code == status, got.text
        return got.json()

    async def push(self, **files: str) -> dict[str, Any]:
        """Change files, and reload the preview."""
        named = {name.replace("_py", ".py"): text for name, text in files.items()}
        got = await self.world.ask("PATCH", f"/api/v1/generations/{self.generation}/files", {"files": named})
        assert got.status_code == 200, got.text
        changed: dict[str, Any] = got.json()
        return changed
