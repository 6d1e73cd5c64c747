from flask import Blueprint, jsonify, request

from ..extensions import db
from ..models import Book

books_bp = Blueprint("books", __name__)


@books_bp.route("/", methods=["GET"])
def get_books():
    return jsonify([book.to_dict() for book in Book.query.all()])


@books_bp.route("/", methods=["POST"])
def create_book():
    data = request.get_json()
    if not data or "title" not in data or "author" not in data:
        return jsonify(error="title and author are required"), 400
    book = Book(title=data["title"], author=data["author"])
    db.session.add(book)
    db.session.commit()
    return jsonify(book.to_dict()), 201


@books_bp.route("/<int:book_id>", methods=["GET"])
def get_book(book_id):
    return jsonify(db.get_or_404(Book, book_id).to_dict())


@books_bp.route("/<int:book_id>", methods=["PUT", "PATCH"])
def update_book(book_id):
    book = db.get_or_404(Book, book_id)
    data = request.get_json() or {}
    book.title = data.get("title", book.title)
    book.author = data.get("author", book.author)
    db.session.commit()
    return jsonify(book.to_dict())


@books_bp.route("/<int:book_id>", methods=["DELETE"])
def delete_book(book_id):
    db.session.delete(db.get_or_404(Book, book_id))
    db.session.commit()
    return "", 204
