"""Sample data for an empty shop."""

import logging
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import Author, Book

logger = logging.getLogger("bookshop.seed")

SHELVES = {
    ("Jane Austen", 1775): [
        ("Pride and Prejudice", "9780141439518", "8.99", 12),
        ("Emma", "9780141439587", "7.50", 5),
    ],
    ("Mary Shelley", 1797): [("Frankenstein", "9780141439471", "6.99", 2)],
    ("Jules Verne", 1828): [
        ("Around the World in Eighty Days", "9780140449068", "9.25", 8),
        ("Twenty Thousand Leagues Under the Sea", "9780140367218", "10.00", 0),
    ],
    ("Lewis Carroll", 1832): [("Alice's Adventures in Wonderland", "9780141439761", "5.75", 20)],
}


def seed(session: Session) -> int:
    """Fill the shop if it is empty; how many books were added."""
    if session.scalar(select(func.count()).select_from(Book)):
        return 0
    count = 0
    for (name, born), titles in SHELVES.items():
        author = Author(name=name, born=born)
        for title, isbn, price, stock in titles:
            author.books.append(Book(title=title, isbn=isbn, price=Decimal(price), stock=stock))
            count += 1
        session.add(author)
    session.commit()
    logger.info("%d books by %d authors put on the shelves", count, len(SHELVES))
    return count
