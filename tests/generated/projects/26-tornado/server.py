import json
import sqlite3

import tornado.ioloop
import tornado.web
from tornado.options import define, options, parse_command_line

define("port", default=8888, help="run on the given port", type=int)
define("debug", default=True, help="run in debug mode", type=bool)

DB = "games.db"


def query(sql, *args):
    with sqlite3.connect(DB) as connection:
        connection.row_factory = sqlite3.Row
        cursor = connection.execute(sql, args)
        return [dict(row) for row in cursor.fetchall()], cursor.lastrowid


class BaseHandler(tornado.web.RequestHandler):
    def set_default_headers(self):
        self.set_header("Content-Type", "application/json")

    def body(self):
        try:
            return json.loads(self.request.body)
        except ValueError:
            raise tornado.web.HTTPError(400, "Invalid JSON")

    def game(self, game_id):
        rows, _ = query("SELECT * FROM games WHERE id = ?", game_id)
        if not rows:
            raise tornado.web.HTTPError(404)
        return rows[0]


class MainHandler(BaseHandler):
    def get(self):
        self.write({"message": "Chess games archive"})


class GamesHandler(BaseHandler):
    def get(self):
        rows, _ = query("SELECT * FROM games ORDER BY id")
        self.write(json.dumps(rows))

    def post(self):
        data = self.body()
        _, game_id = query("INSERT INTO games (white, black, result) VALUES (?, ?, ?)",
                           data["white"], data["black"], data.get("result", "*"))
        self.set_status(201)
        self.write(self.game(game_id))


class GameHandler(BaseHandler):
    def get(self, game_id):
        self.write(self.game(game_id))

    def put(self, game_id):
        self.game(game_id)
        query("UPDATE games SET result = ? WHERE id = ?", self.body()["result"], game_id)
        self.write(self.game(game_id))

    def delete(self, game_id):
        query("DELETE FROM games WHERE id = ?", game_id)
        self.set_status(204)


def make_app():
    return tornado.web.Application(
        [
            (r"/", MainHandler),
            (r"/games", GamesHandler),
            (r"/games/([0-9]+)", GameHandler),
        ],
        debug=options.debug,
    )


if __name__ == "__main__":
    parse_command_line()
    query("CREATE TABLE IF NOT EXISTS games (id INTEGER PRIMARY KEY, white TEXT, black TEXT, result TEXT)")
    app = make_app()
    app.listen(options.port)
    print(f"Listening on http://localhost:{options.port}")
    tornado.ioloop.IOLoop.current().start()
