from datetime import datetime

from .extensions import db


class Book(db.Model):
    __tablename__ = "books"

    id = db.Column(db.Integer, primary_key=True)
    title = db.Column(db.String(200), nullable=False)
    author = db.Column(db.String(120), nullable=False)
    available = db.Column(db.Boolean, default=True)
    loans = db.relationship("Loan", backref="book", lazy=True, cascade="all, delete-orphan")

    def to_dict(self):
        return {"id": self.id, "title": self.title, "author": self.author, "available": self.available}


class Loan(db.Model):
    __tablename__ = "loans"

    id = db.Column(db.Integer, primary_key=True)
    borrower = db.Column(db.String(120), nullable=False)
    book_id = db.Column(db.Integer, db.ForeignKey("books.id"), nullable=False)
    created_at = db.Column(db.DateTime, default=datetime.utcnow)

    def to_dict(self):
        return {"id": self.id, "borrower": self.borrower, "book_id": self.book_id}
