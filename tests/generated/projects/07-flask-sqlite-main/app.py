import sqlite3

from flask import Flask, g, jsonify, request

app = Flask(__name__)
DATABASE = "plants.db"


def get_db():
    if "db" not in g:
        g.db = sqlite3.connect(DATABASE)
        g.db.row_factory = sqlite3.Row
    return g.db


@app.teardown_appcontext
def close_db(exception):
    db = g.pop("db", None)
    if db is not None:
        db.close()


def init_db():
    conn = sqlite3.connect(DATABASE)
    conn.execute(
        """
        CREATE TABLE IF NOT EXISTS plants (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL,
            interval_days INTEGER NOT NULL DEFAULT 7,
            last_watered TEXT
        )
        """
    )
    conn.commit()
    conn.close()


@app.route("/")
def index():
    return jsonify({"message": "Plant Watering Tracker API"})


@app.route("/api/plants", methods=["GET"])
def list_plants():
    rows = get_db().execute("SELECT * FROM plants ORDER BY id").fetchall()
    return jsonify([dict(row) for row in rows])


@app.route("/api/plants", methods=["POST"])
def add_plant():
    data = request.get_json()
    if not data.get("name"):
        return jsonify({"error": "name is required"}), 400
    db = get_db()
    cursor = db.execute(
        "INSERT INTO plants (name, interval_days) VALUES (?, ?)",
        (data["name"], data.get("interval_days", 7)),
    )
    db.commit()
    return jsonify({"id": cursor.lastrowid, "name": data["name"]}), 201


@app.route("/api/plants/<int:plant_id>", methods=["GET"])
def get_plant(plant_id):
    row = get_db().execute("SELECT * FROM plants WHERE id = ?", (plant_id,)).fetchone()
    if row is None:
        return jsonify({"error": "Plant not found"}), 404
    return jsonify(dict(row))


@app.route("/api/plants/<int:plant_id>/water", methods=["POST"])
def water_plant(plant_id):
    db = get_db()
    db.execute("UPDATE plants SET last_watered = datetime('now') WHERE id = ?", (plant_id,))
    db.commit()
    return jsonify({"message": "Watered!"})


@app.route("/api/plants/<int:plant_id>", methods=["DELETE"])
def delete_plant(plant_id):
    db = get_db()
    db.execute("DELETE FROM plants WHERE id = ?", (plant_id,))
    db.commit()
    return jsonify({"message": "Plant deleted"})


if __name__ == "__main__":
    init_db()
    app.run(debug=True)
