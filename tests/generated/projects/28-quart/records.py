import aiosqlite
from quart import Blueprint, abort, current_app, jsonify, request

records = Blueprint("records", __name__, url_prefix="/api/records")


def connect():
    return aiosqlite.connect(current_app.config["DATABASE"])


async def find(db, record_id):
    db.row_factory = aiosqlite.Row
    async with db.execute("SELECT * FROM records WHERE id = ?", (record_id,)) as cursor:
        row = await cursor.fetchone()
    if row is None:
        abort(404)
    return dict(row)


@records.get("/")
async def list_records():
    async with connect() as db:
        db.row_factory = aiosqlite.Row
        async with db.execute("SELECT * FROM records ORDER BY id") as cursor:
            return jsonify([dict(row) for row in await cursor.fetchall()])


@records.post("/")
async def create_record():
    data = await request.get_json()
    async with connect() as db:
        cursor = await db.execute(
            "INSERT INTO records (artist, album, rating) VALUES (?, ?, ?)",
            (data["artist"], data["album"], data.get("rating")),
        )
        await db.commit()
        return await find(db, cursor.lastrowid), 201


@records.get("/<int:record_id>")
async def get_record(record_id: int):
    async with connect() as db:
        return await find(db, record_id)


@records.patch("/<int:record_id>")
async def rate_record(record_id: int):
    data = await request.get_json()
    async with connect() as db:
        await db.execute("UPDATE records SET rating = ? WHERE id = ?", (data["rating"], record_id))
        await db.commit()
        return await find(db, record_id)


@records.delete("/<int:record_id>")
async def delete_record(record_id: int):
    async with connect() as db:
        await db.execute("DELETE FROM records WHERE id = ?", (record_id,))
        await db.commit()
    return "", 204
