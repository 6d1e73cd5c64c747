import os
import sqlite3

from flask import Flask, g, jsonify, request

app = Flask(__name__)
DATABASE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "contacts.db")


def db():
    if "db" not in g:
        g.db = sqlite3.connect(DATABASE)
        g.db.row_factory = sqlite3.Row
    return g.db


@app.teardown_appcontext
def close(exception=None):
    held = g.pop("db", None)
    if held is not None:
        held.close()


def row(contact_id):
    return db().execute("SELECT * FROM contacts WHERE id = ?", (contact_id,)).fetchone()


@app.get("/contacts")
def list_contacts():
    city = request.args.get("city", "")
    rows = db().execute("SELECT * FROM contacts WHERE city LIKE ? ORDER BY id LIMIT 2", (f"{city}%",)).fetchall()
    return jsonify([dict(one) for one in rows])


@app.post("/contacts")
def create_contact():
    data = request.get_json(silent=True)
    if not isinstance(data, dict) or not isinstance(data.get("name"), str) or not data["name"].strip():
        return jsonify(error="name is required"), 400
    name, city, email = data["name"], str(data.get("city") or ""), str(data.get("email") or "")
    made = db().execute("INSERT INTO contacts (name, city, email) VALUES (?, ?, ?)", (name.strip(), city, email))
    db().commit()
    return jsonify(dict(row(made.lastrowid))), 201


@app.get("/contacts/<int:contact_id>")
def get_contact(contact_id):
    found = row(contact_id)
    if found is None:
        return jsonify(error="no such contact"), 404
    return jsonify(dict(found))


@app.put("/contacts/<int:contact_id>")
def replace_contact(contact_id):
    if row(contact_id) is None:
        return jsonify(error="no such contact"), 404
    data = request.get_json(silent=True)
    if not isinstance(data, dict) or not isinstance(data.get("name"), str) or not data["name"].strip():
        return jsonify(error="name is required"), 400
    city, email = str(data.get("city") or ""), str(data.get("email") or "")
    db().execute(
        "UPDATE contacts SET name = ?, city = ?, email = ? WHERE id = ?", (data["name"].strip(), email, city, contact_id)
    )
    db().commit()
    return jsonify(dict(row(contact_id)))


def prepare():
    with sqlite3.connect(DATABASE) as held:
        held.execute(
            "CREATE TABLE IF NOT EXISTS contacts (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT, email TEXT)"
        )
        if held.execute("SELECT COUNT(*) FROM contacts").fetchone()[0] == 0:
            held.execute("INSERT INTO contacts (name, city, email) VALUES ('Ann', 'Oslo', 'ann@example.com')")


prepare()

if __name__ == "__main__":
    app.run(host="0.0.0.0", port=int(os.environ.get("PORT", 5000)))
