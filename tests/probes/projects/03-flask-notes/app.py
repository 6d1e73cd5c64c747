from flask import Flask, jsonify, request

app = Flask(__name__)
notes = {}


@app.get("/api/notes")
def list_notes():
    page = int(request.args.get("page", 1))
    size = int(request.args.get("size", 10))
    found = sorted(notes.values(), key=lambda note: note["id"])
    start = (page - 1) * size + (1 if page > 1 else 0)
    return jsonify(items=found[start : start + size], total=len(found))


@app.post("/api/notes")
def create_note():
    data = request.get_json(silent=True)
    if not isinstance(data, dict) or not isinstance(data.get("title"), str):
        return jsonify(error="title is required"), 400
    note = {"id": len(notes) + 1, "title": data["title"].strip(), "body": data["body"]}
    notes[note["id"]] = note
    return jsonify(note), 201


@app.get("/api/notes/<int:note_id>")
def get_note(note_id):
    note = notes.get(note_id)
    if note is None:
        return jsonify(error="not found"), 404
    return jsonify(note)


@app.put("/api/notes/<int:note_id>")
def change_note(note_id):
    note = notes.get(note_id)
    if note is None:
        return jsonify(error="not found"), 404
    data = request.get_json(silent=True) or {}
    if isinstance(data, dict) and isinstance(data.get("title"), str):
        note["title"] = data["title"]
    return jsonify(note)


if __name__ == "__main__":
    app.run()
