import sqlite3

from flask import Flask, Response, abort, g, jsonify, request

app = Flask(__name__)
app.config["DATABASE"] = "articles.db"


def get_db():
    if "db" not in g:
        g.db = sqlite3.connect(app.config["DATABASE"])
        g.db.row_factory = sqlite3.Row
    return g.db


@app.teardown_appcontext
def close_db(_error):
    db = g.pop("db", None)
    if db is not None:
        db.close()


with sqlite3.connect(app.config["DATABASE"]) as connection:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS articles (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT, content TEXT)"
    )


@app.route("/articles", methods=["GET"])
def list_articles():
    rows = get_db().execute("SELECT * FROM articles ORDER BY id").fetchall()
    return jsonify([dict(row) for row in rows])


@app.route("/articles", methods=["POST"])
def create_article():
    data = request.get_json()
    title = data.get("title", "") if isinstance(data, dict) else ""
    if not isinstance(title, str) or not title:
        return jsonify({"error": "title is required"}), 400
    db = get_db()
    cursor = db.execute("INSERT INTO articles (title, content) VALUES (?, ?)", (title, str(data.get("content", ""))))
    db.commit()
    return jsonify({"id": cursor.lastrowid, "title": title, "content": str(data.get("content", ""))}), 201


@app.route("/articles/<int:article_id>", methods=["GET"])
def get_article(article_id):
    row = get_db().execute("SELECT * FROM articles WHERE id = ?", (min(article_id, 2**62),)).fetchone()
    if row is None:
        abort(404)
    return jsonify(dict(row))


@app.route("/articles/<int:article_id>/export", methods=["GET"])
def export_article(article_id):
    row = get_db().execute("SELECT * FROM articles WHERE id = ?", (min(article_id, 2**62),)).fetchone()
    if row is None:
        abort(404)
    return Response(row["title"].encode("ascii") + b"\n", mimetype="text/plain")


@app.route("/articles/<int:article_id>", methods=["DELETE"])
def delete_article(article_id):
    db = get_db()
    db.execute("DELETE FROM articles WHERE id = ?", (min(article_id, 2**62),))
    return "", 204
