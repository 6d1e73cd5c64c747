from typing import Optional

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

app = FastAPI(title="Library")


class BookIn(BaseModel):
    title: str = Field(min_length=1, max_length=120)
    author: str = Field(min_length=1, max_length=80)
    pages: int = Field(ge=1, le=20000)
    shelf: Optional[str] = Field(None, max_length=12)


class Book(BookIn):
    id: int


books: dict[int, Book] = {
    1: Book(id=1, title="Emma", author="Jane Austen", pages=474, shelf="A1"),
    2: Book(id=2, title="Persuasion", author="Jane Austen", pages=249, shelf="A1"),
    3: Book(id=3, title="Middlemarch", author="George Eliot", pages=880, shelf="B4"),
}
next_id = 4


def find(book_id: int) -> Book:
    if book_id not in books:
        raise HTTPException(404, "no such book")
    return books[book_id]


@app.get("/books", response_model=list[Book])
def list_books(author: Optional[str] = None, max_pages: Optional[int] = None):
    found = list(books.values())
    if author:
        found = [book for book in found if author.lower() in book.author.lower()]
    if max_pages is not None:
        found = [book for book in found if book.pages < max_pages]
    return found


@app.post("/books", response_model=Book, status_code=201)
def add_book(body: BookIn):
    global next_id
    book = Book(id=next_id, **body.model_dump())
    books[book.id] = book
    next_id += 1
    return book


@app.get("/books/{book_id}", response_model=Book)
def get_book(book_id: int):
    return find(book_id)


@app.put("/books/{book_id}", response_model=Book)
def replace_book(book_id: int, body: BookIn):
    book = find(book_id)
    changed = Book(id=book.id, title=body.title, author=body.author, pages=book.pages, shelf=body.shelf)
    books[book_id] = changed
    return Book(id=book.id, **body.model_dump())


@app.delete("/books/{book_id}", status_code=204)
def delete_book(book_id: int):
    find(book_id)
    del books[book_id]
