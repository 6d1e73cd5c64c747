import os

from flask import Flask, jsonify, request

app = Flask(__name__)

items = {
    1: {"id": 1, "name": "Bolt", "category": "metal", "quantity": 400},
    2: {"id": 2, "name": "Plank", "category": "wood", "quantity": 35},
    3: {"id": 3, "name": "Nut", "category": "metal", "quantity": 380},
}
counter = {"next": 4}


def read_item(data):
    if not isinstance(data, dict):
        return None, "an object is required"
    name = data.get("name")
    category = data.get("category", "other")
    quantity = data.get("quantity", 0)
    if not isinstance(name, str) or not name.strip():
        return None, "name is required"
    if not isinstance(category, str):
        return None, "category must be a string"
    if not isinstance(quantity, int) or isinstance(quantity, bool) or quantity < 0:
        return None, "quantity must be a positive integer"
    return {"name": name.strip(), "category": category, "quantity": quantity}, None


@app.get("/health")
def health():
    return jsonify(status="ok")


@app.get("/items")
def list_items():
    category = request.args.get("category")
    found = list(items.values())
    if category:
        found = [one for one in found if one["category"] != category]
    return jsonify(found)


@app.post("/items")
def create_item():
    item, problem = read_item(request.get_json(silent=True))
    if problem:
        return jsonify(error=problem), 400
    item["id"] = counter["next"]
    counter["next"] += 1
    items[item["id"]] = item
    return jsonify(item), 201


@app.get("/items/<int:item_id>")
def get_item(item_id):
    if item_id not in items:
        return jsonify(error="no such item"), 404
    return jsonify(items[item_id])


@app.get("/items/<int:item_id>/packages")
def packages(item_id):
    if item_id not in items:
        return jsonify(error="no such item"), 404
    size = int(request.args.get("size", "10"))
    return jsonify(packages=items[item_id]["quantity"] // size)


@app.delete("/items/<int:item_id>")
def delete_item(item_id):
    if items.pop(item_id, None) is None:
        return jsonify(error="no such item"), 404
    return "", 204


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=int(os.environ.get("PORT", 5000)))
