import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2
import redis

database = psycopg2.connect(os.environ["DATABASE_URL"])
cache = redis.Redis.from_url(os.environ["REDIS_URL"])
with database, database.cursor() as cursor:
    cursor.execute("CREATE TABLE names (name text)")
    cursor.execute("INSERT INTO names VALUES ('compose')")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        cache.incr("requests")
        with database, database.cursor() as cursor:
            cursor.execute("SELECT name FROM names")
            body = f"hello from {cursor.fetchone()[0]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("", 5000), Handler).serve_forever()
