import psycopg
from fastapi import FastAPI, HTTPException
from psycopg.rows import dict_row
from pydantic import BaseModel

app = FastAPI()


def connect():
    return psycopg.connect(
        host="db",
        port=5432,
        user="library",
        password="library123",
        dbname="library",
        row_factory=dict_row,
    )


class Book(BaseModel):
    title: str
    author: str
    isbn: str


class Loan(BaseModel):
    reader: str


@app.get("/")
def root():
    with connect() as conn:
        return conn.execute("SELECT version() AS version, current_database() AS database").fetchone()


@app.get("/books")
def list_books():
    with connect() as conn:
        return conn.execute("SELECT *, open_loans(id) AS open_loans FROM books ORDER BY id").fetchall()


@app.post("/books", status_code=201)
def add_book(book: Book):
    try:
        with connect() as conn:
            return conn.execute(
                "INSERT INTO books (title, author, isbn) VALUES (%s, %s, %s) RETURNING *",
                (book.title, book.author, book.isbn),
            ).fetchone()
    except psycopg.errors.UniqueViolation:
        raise HTTPException(status_code=409, detail="ISBN already exists")


@app.get("/books/{book_id}")
def get_book(book_id: int):
    with connect() as conn:
        row = conn.execute(
            "SELECT *, open_loans(id) AS open_loans FROM books WHERE id = %s", (book_id,)
        ).fetchone()
    if row is None:
        raise HTTPException(status_code=404, detail="Book not found")
    return row


@app.put("/books/{book_id}")
def update_book(book_id: int, book: Book):
    with connect() as conn:
        row = conn.execute(
            "UPDATE books SET title = %s, author = %s, isbn = %s WHERE id = %s RETURNING *",
            (book.title, book.author, book.isbn, book_id),
        ).fetchone()
    if row is None:
        raise HTTPException(status_code=404, detail="Book not found")
    return row


@app.post("/books/{book_id}/loans", status_code=201)
def lend(book_id: int, loan: Loan):
    try:
        with connect() as conn:
            return conn.execute(
                "INSERT INTO loans (book_id, reader) VALUES (%s, %s) RETURNING *", (book_id, loan.reader)
            ).fetchone()
    except psycopg.errors.ForeignKeyViolation:
        raise HTTPException(status_code=404, detail="Book not found")


@app.delete("/books/{book_id}", status_code=204)
def delete_book(book_id: int):
    with connect() as conn:
        if conn.execute("DELETE FROM books WHERE id = %s", (book_id,)).rowcount == 0:
            raise HTTPException(status_code=404, detail="Book not found")
