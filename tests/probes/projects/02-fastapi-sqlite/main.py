import sqlite3
from contextlib import contextmanager

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

app = FastAPI(title="Library")
DATABASE = "library.db"


@contextmanager
def connect():
    connection = sqlite3.connect(DATABASE)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


with connect() as db:
    db.executescript(
        """
        CREATE TABLE IF NOT EXISTS authors (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE NOT NULL);
        CREATE TABLE IF NOT EXISTS books (
            id INTEGER PRIMARY KEY, title TEXT NOT NULL, year INTEGER,
            author_id INTEGER NOT NULL REFERENCES authors(id)
        );
        INSERT OR IGNORE INTO authors (id, name, email) VALUES (1, 'Ursula', 'ursula@example.com');
        """
    )


class AuthorIn(BaseModel):
    name: str
    email: str


class BookIn(BaseModel):
    title: str
    year: int | None = None
    author_id: int


@app.get("/authors")
def list_authors():
    with connect() as db:
        return [dict(row) for row in db.execute("SELECT * FROM authors")]


@app.post("/authors", status_code=201)
def create_author(body: AuthorIn):
    with connect() as db:
        cursor = db.execute("INSERT INTO authors (name, email) VALUES (?, ?)", (body.name, body.email))
        return {"id": cursor.lastrowid, **body.model_dump()}


@app.get("/authors/{author_id}")
def get_author(author_id: int):
    with connect() as db:
        row = db.execute("SELECT * FROM authors WHERE id = ?", (author_id,)).fetchone()
    if row is None:
        raise HTTPException(404, "No such author")
    return dict(row)


@app.post("/books", status_code=201)
def create_book(body: BookIn):
    with connect() as db:
        if db.execute("SELECT 1 FROM authors WHERE id = ?", (body.author_id,)).fetchone() is None:
            raise HTTPException(404, "No such author")
        cursor = db.execute(
            "INSERT INTO books (title, year, author_id) VALUES (?, ?, ?)", (body.title, body.year, body.author_id)
        )
        return {"id": cursor.lastrowid, **body.model_dump()}


@app.get("/books")
def list_books():
    with connect() as db:
        return [dict(row) for row in db.execute("SELECT * FROM books")]


@app.get("/books/{book_id}")
def get_book(book_id: int):
    with connect() as db:
        row = db.execute("SELECT * FROM books WHERE id = ?", (book_id,)).fetchone()
    return {"id": row["id"], "title": row["title"], "year": row["year"]}
