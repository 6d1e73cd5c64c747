import pymysql
from flask import Flask, jsonify, request
from pymysql.cursors import DictCursor

app = Flask(__name__)

DB_CONFIG = {
    "host": "localhost",
    "user": "root",
    "password": "password",
    "database": "inventory",
    "cursorclass": DictCursor,
}


def get_connection():
    return pymysql.connect(**DB_CONFIG)


def init_db():
    conn = get_connection()
    with conn.cursor() as cursor:
        cursor.execute(
            """
            CREATE TABLE IF NOT EXISTS items (
                id INT AUTO_INCREMENT PRIMARY KEY,
                sku VARCHAR(40) NOT NULL UNIQUE,
                name VARCHAR(255) NOT NULL,
                quantity INT NOT NULL DEFAULT 0,
                kind ENUM('raw', 'part', 'product') NOT NULL DEFAULT 'part'
            )
            """
        )
    conn.commit()
    conn.close()


@app.route("/")
def index():
    conn = get_connection()
    with conn.cursor() as cursor:
        cursor.execute("SELECT VERSION() AS version")
        row = cursor.fetchone()
    conn.close()
    return jsonify(row)


@app.route("/items", methods=["GET"])
def get_items():
    conn = get_connection()
    with conn.cursor() as cursor:
        cursor.execute("SELECT * FROM items ORDER BY id")
        rows = cursor.fetchall()
    conn.close()
    return jsonify(rows)


@app.route("/items", methods=["POST"])
def add_item():
    data = request.get_json()
    if "sku" not in data or "name" not in data:
        return jsonify({"error": "sku and name are required"}), 400
    conn = get_connection()
    try:
        with conn.cursor() as cursor:
            cursor.execute(
                "INSERT INTO items (sku, name, quantity) VALUES (%s, %s, %s)",
                (data["sku"], data["name"], data.get("quantity", 0)),
            )
            item_id = cursor.lastrowid
        conn.commit()
    except pymysql.err.IntegrityError:
        return jsonify({"error": "sku already exists"}), 409
    finally:
        conn.close()
    return jsonify({"id": item_id}), 201


@app.route("/items/<int:item_id>", methods=["GET"])
def get_item(item_id):
    conn = get_connection()
    with conn.cursor() as cursor:
        cursor.execute("SELECT * FROM items WHERE id = %s", (item_id,))
        row = cursor.fetchone()
    conn.close()
    if row is None:
        return jsonify({"error": "Item not found"}), 404
    return jsonify(row)


@app.route("/items/<int:item_id>", methods=["PUT"])
def update_item(item_id):
    data = request.get_json()
    conn = get_connection()
    with conn.cursor() as cursor:
        cursor.execute(
            "UPDATE items SET name = %s, quantity = %s WHERE id = %s",
            (data["name"], data["quantity"], item_id),
        )
    conn.commit()
    conn.close()
    return jsonify({"message": "Item updated"})


@app.route("/items/<int:item_id>", methods=["DELETE"])
def delete_item(item_id):
    conn = get_connection()
    with conn.cursor() as cursor:
        cursor.execute("DELETE FROM items WHERE id = %s", (item_id,))
    conn.commit()
    conn.close()
    return jsonify({"message": "Item deleted"})


if __name__ == "__main__":
    init_db()
    app.run(host="0.0.0.0", port=5000, debug=True)
