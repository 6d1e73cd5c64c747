from flask import Blueprint, abort, jsonify, request
from sqlalchemy import func, text

from .extensions import db
from .models import Expense

bp = Blueprint("api", __name__)


@bp.get("/health")
def health():
    return {"database": db.session.execute(text("SELECT version()")).scalar()}


@bp.get("/expenses")
def list_expenses():
    query = Expense.query.order_by(Expense.id)
    if category := request.args.get("category"):
        query = query.filter_by(category=category)
    return jsonify([one.to_dict() for one in query])


@bp.post("/expenses")
def create_expense():
    data = request.get_json()
    if not data.get("title") or data.get("amount") is None:
        abort(400, "title and amount are required")
    expense = Expense(**{key: data[key] for key in ("title", "amount", "category", "meta") if key in data})
    db.session.add(expense)
    db.session.commit()
    return expense.to_dict(), 201


@bp.get("/expenses/<int:expense_id>")
def get_expense(expense_id):
    return db.get_or_404(Expense, expense_id).to_dict()


@bp.patch("/expenses/<int:expense_id>")
def update_expense(expense_id):
    expense = db.get_or_404(Expense, expense_id)
    for key, value in request.get_json().items():
        if key in ("title", "amount", "category", "meta"):
            setattr(expense, key, value)
    db.session.commit()
    return expense.to_dict()


@bp.delete("/expenses/<int:expense_id>")
def delete_expense(expense_id):
    db.session.delete(db.get_or_404(Expense, expense_id))
    db.session.commit()
    return "", 204


@bp.get("/totals")
def totals():
    rows = db.session.query(Expense.category, func.sum(Expense.amount)).group_by(Expense.category)
    return {category: float(total) for category, total in rows}
