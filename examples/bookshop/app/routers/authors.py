from fastapi import APIRouter, HTTPException, status
from sqlalchemy import select

from app.database import SessionDep
from app.models import Author
from app.schemas import AuthorCreate, AuthorDetail, AuthorRead

router = APIRouter(prefix="/authors", tags=["authors"])


@router.get("", response_model=list[AuthorRead])
def list_authors(session: SessionDep) -> list[Author]:
    """All authors by name."""
    return list(session.scalars(select(Author).order_by(Author.name)))


@router.post("", response_model=AuthorRead, status_code=status.HTTP_201_CREATED)
def create_author(session: SessionDep, new: AuthorCreate) -> Author:
    """Add an author."""
    if session.scalar(select(Author).where(Author.name == new.name)):
        raise HTTPException(status.HTTP_409_CONFLICT, f"{new.name} is here already")
    author = Author(**new.model_dump())
    session.add(author)
    session.commit()
    return author


@router.get("/{author_id}", response_model=AuthorDetail)
def read_author(session: SessionDep, author_id: int) -> Author:
    """One author with their books."""
    author = session.get(Author, author_id)
    if author is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"no author {author_id}")
    return author
