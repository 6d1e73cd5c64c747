from flask import Flask, abort, jsonify, request
from flask.typing import ResponseReturnValue

app = Flask(__name__)
notes: dict[int, str] = {1: "Buy bread", 2: "Water the plants"}


@app.get("/")
def index() -> ResponseReturnValue:
    """Say where the notes are."""
    return jsonify(notes="/notes")


@app.get("/notes")
def list_notes() -> ResponseReturnValue:
    """List all notes."""
    app.logger.info("listing %d notes", len(notes))
    return jsonify([{"id": number, "text": text} for number, text in notes.items()])


@app.post("/notes")
def add_note() -> ResponseReturnValue:
    """Add a note: `{"text": "…"}`."""
    text = (request.get_json(silent=True) or {}).get("text")
    if not isinstance(text, str) or not text:
        abort(400, "Send a JSON object with a text.")
    number = max(notes, default=0) + 1
    notes[number] = text
    return jsonify(id=number, text=text), 201


@app.delete("/notes/<int:number>")
def delete_note(number: int) -> ResponseReturnValue:
    """Delete a note."""
    if notes.pop(number, None) is None:
        abort(404)
    return "", 204
