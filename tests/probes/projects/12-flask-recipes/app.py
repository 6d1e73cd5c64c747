import os
import sqlite3

from flask import Flask, g, jsonify, request

app = Flask(__name__)
DATABASE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recipes.db")


def get_db():
    if "db" not in g:
        g.db = sqlite3.connect(DATABASE)
        g.db.row_factory = sqlite3.Row
    return g.db


@app.teardown_appcontext
def close_db(exception=None):
    db = g.pop("db", None)
    if db is not None:
        db.close()


def init_db():
    with sqlite3.connect(DATABASE) as db:
        db.execute(
            """CREATE TABLE IF NOT EXISTS recipes (
                   id INTEGER PRIMARY KEY AUTOINCREMENT,
                   title TEXT NOT NULL,
                   servings INTEGER NOT NULL,
                   minutes INTEGER NOT NULL DEFAULT 0,
                   notes TEXT
               )"""
        )
        if db.execute("SELECT COUNT(*) FROM recipes").fetchone()[0] == 0:
            db.executemany(
                "INSERT INTO recipes (title, servings, minutes) VALUES (?, ?, ?)",
                [("Pancakes", 4, 20), ("Tomato soup", 2, 35), ("Risotto", 3, 45)],
            )


@app.route("/")
def index():
    return jsonify({"service": "recipes", "version": "1.0"})


@app.route("/recipes", methods=["GET"])
def list_recipes():
    search = request.args.get("q", "")
    rows = get_db().execute("SELECT * FROM recipes WHERE title LIKE ? ORDER BY id", (f"%{search}%",)).fetchall()
    return jsonify([dict(row) for row in rows])


@app.route("/recipes", methods=["POST"])
def create_recipe():
    data = request.get_json(silent=True) or {}
    title = data.get("title")
    servings = data.get("servings")
    if not title or servings is None:
        return jsonify({"error": "title and servings are required"}), 400
    if int(servings) < 1:
        return jsonify({"error": "servings must be positive"}), 400
    minutes = data.get("minutes", 0)
    db = get_db()
    cursor = db.execute(
        "INSERT INTO recipes (title, servings, minutes, notes) VALUES (?, ?, ?, ?)",
        (str(title), int(servings), int(minutes) if str(minutes).isdigit() else 0, None),
    )
    db.commit()
    row = db.execute("SELECT * FROM recipes WHERE id = ?", (cursor.lastrowid,)).fetchone()
    return jsonify(dict(row)), 201


@app.route("/recipes/<int:recipe_id>", methods=["GET"])
def get_recipe(recipe_id):
    row = get_db().execute("SELECT * FROM recipes WHERE id = ?", (recipe_id,)).fetchone()
    if row is None:
        return jsonify({"error": "recipe not found"}), 404
    return jsonify(dict(row))


@app.route("/recipes/<int:recipe_id>/notes", methods=["GET"])
def get_notes(recipe_id):
    row = get_db().execute("SELECT notes FROM recipes WHERE id = ?", (recipe_id,)).fetchone()
    if row is None:
        return jsonify({"error": "recipe not found"}), 404
    lines = row["notes"].splitlines()
    return jsonify({"recipe_id": recipe_id, "lines": lines, "count": len(lines)})


@app.route("/recipes/<int:recipe_id>", methods=["DELETE"])
def delete_recipe(recipe_id):
    db = get_db()
    cursor = db.execute("DELETE FROM recipes WHERE id = ?", (recipe_id,))
    db.commit()
    if cursor.rowcount == 0:
        return jsonify({"error": "recipe not found"}), 404
    return "", 204


init_db()

if __name__ == "__main__":
    app.run(host="0.0.0.0", port=int(os.environ.get("PORT", 5000)))
