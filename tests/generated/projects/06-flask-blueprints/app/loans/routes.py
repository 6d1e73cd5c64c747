from flask import Blueprint, jsonify, request

from ..extensions import db
from ..models import Book, Loan

loans_bp = Blueprint("loans", __name__)


@loans_bp.get("/")
def get_loans():
    return jsonify([loan.to_dict() for loan in Loan.query.all()])


@loans_bp.post("/")
def create_loan():
    data = request.get_json()
    book = db.get_or_404(Book, data["book_id"])
    if not book.available:
        return jsonify(error="Book is already lent"), 409
    book.available = False
    loan = Loan(borrower=data["borrower"], book_id=book.id)
    db.session.add(loan)
    db.session.commit()
    return jsonify(loan.to_dict()), 201


@loans_bp.post("/<int:loan_id>/return")
def return_loan(loan_id):
    loan = db.get_or_404(Loan, loan_id)
    loan.book.available = True
    db.session.delete(loan)
    db.session.commit()
    return jsonify(message="Book returned")
