from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, status
from sqlalchemy import func, select

from app.database import SessionDep
from app.models import Author, Book
from app.schemas import BookCreate, BookPage, BookRead, BookUpdate

router = APIRouter(prefix="/books", tags=["books"])


def find_book(session: SessionDep, book_id: int) -> Book:
    book = session.get(Book, book_id)
    if book is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"no book {book_id}")
    return book


@router.get("", response_model=BookPage)
def list_books(
    session: SessionDep,
    q: Annotated[str | None, Query(max_length=100, description="Part of the title")] = None,
    page: Annotated[int, Query(ge=1)] = 1,
    per_page: Annotated[int, Query(ge=1, le=100)] = 20,
    in_stock: bool = False,
) -> dict[str, object]:
    """List books, a page at a time."""
    query = select(Book).order_by(Book.title)
    if q:
        query = query.where(Book.title.icontains(q, autoescape=True))
    if in_stock:
        query = query.where(Book.stock > 0)
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    items = session.scalars(query.offset((page - 1) * per_page).limit(per_page)).all()
    return {"items": items, "total": total, "page": page, "pages": max(1, -(-total // per_page))}


@router.post("", response_model=BookRead, status_code=status.HTTP_201_CREATED)
def create_book(session: SessionDep, new: BookCreate) -> Book:
    """Add a book to the shop."""
    if session.get(Author, new.author_id) is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"no author {new.author_id}")
    if session.scalar(select(Book).where(Book.isbn == new.isbn)):
        raise HTTPException(status.HTTP_409_CONFLICT, f"a book with ISBN {new.isbn} exists already")
    book = Book(**new.model_dump())
    session.add(book)
    session.commit()
    return book


@router.get("/{book_id}", response_model=BookRead)
def read_book(session: SessionDep, book_id: int) -> Book:
    """One book."""
    return find_book(session, book_id)


@router.patch("/{book_id}", response_model=BookRead)
def update_book(session: SessionDep, book_id: int, change: BookUpdate) -> Book:
    """Change a book's title, price or stock."""
    book = find_book(session, book_id)
    for name, value in change.model_dump(exclude_unset=True, exclude_none=True).items():
        setattr(book, name, value)
    session.commit()
    return book


@router.delete("/{book_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_book(session: SessionDep, book_id: int) -> None:
    """Take a book out of the shop."""
    session.delete(find_book(session, book_id))
    session.commit()
