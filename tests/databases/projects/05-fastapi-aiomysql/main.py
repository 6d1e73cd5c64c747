import os
from contextlib import asynccontextmanager

import aiomysql
import uvicorn
from dotenv import load_dotenv
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

load_dotenv()

pool: aiomysql.Pool | None = None


@asynccontextmanager
async def lifespan(app: FastAPI):
    global pool
    pool = await aiomysql.create_pool(
        host=os.getenv("DB_HOST"),
        port=int(os.getenv("DB_PORT", "3306")),
        user=os.getenv("DB_USER"),
        password=os.getenv("DB_PASSWORD"),
        db=os.getenv("DB_NAME"),
        charset="utf8mb4",
        autocommit=True,
    )
    await run(
        """
        CREATE TABLE IF NOT EXISTS notes (
            id INT AUTO_INCREMENT PRIMARY KEY,
            title VARCHAR(200) NOT NULL,
            body TEXT,
            pinned TINYINT(1) NOT NULL DEFAULT 0,
            created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
            updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP
        ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
        """
    )
    yield
    pool.close()
    await pool.wait_closed()


app = FastAPI(title="Notes", lifespan=lifespan)


async def run(sql: str, *args):
    async with pool.acquire() as connection:
        async with connection.cursor(aiomysql.DictCursor) as cursor:
            await cursor.execute(sql, args)
            return cursor.lastrowid, cursor.rowcount


async def fetch(sql: str, *args):
    async with pool.acquire() as connection:
        async with connection.cursor(aiomysql.DictCursor) as cursor:
            await cursor.execute(sql, args)
            return await cursor.fetchall()


class Note(BaseModel):
    title: str
    body: str = ""
    pinned: bool = False


@app.get("/")
async def index():
    return (await fetch("SELECT VERSION() AS version"))[0]


@app.get("/notes")
async def list_notes():
    return await fetch("SELECT * FROM notes ORDER BY pinned DESC, id")


@app.post("/notes", status_code=201)
async def create_note(note: Note):
    note_id, _ = await run(
        "INSERT INTO notes (title, body, pinned) VALUES (%s, %s, %s)", note.title, note.body, note.pinned
    )
    return await get_note(note_id)


@app.get("/notes/{note_id}")
async def get_note(note_id: int):
    rows = await fetch("SELECT * FROM notes WHERE id = %s", note_id)
    if not rows:
        raise HTTPException(status_code=404, detail="Note not found")
    return rows[0]


@app.put("/notes/{note_id}")
async def update_note(note_id: int, note: Note):
    await get_note(note_id)
    await run(
        "UPDATE notes SET title = %s, body = %s, pinned = %s WHERE id = %s",
        note.title,
        note.body,
        note.pinned,
        note_id,
    )
    return await get_note(note_id)


@app.delete("/notes/{note_id}", status_code=204)
async def delete_note(note_id: int):
    _, count = await run("DELETE FROM notes WHERE id = %s", note_id)
    if not count:
        raise HTTPException(status_code=404, detail="Note not found")


if __name__ == "__main__":
    uvicorn.run("main:app", host="0.0.0.0", port=8000, reload=True)
