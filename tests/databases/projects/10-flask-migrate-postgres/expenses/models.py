from sqlalchemy.dialects.postgresql import JSONB

from .extensions import db


class Expense(db.Model):
    __tablename__ = "expenses"

    id = db.Column(db.Integer, primary_key=True)
    title = db.Column(db.String(120), nullable=False)
    amount = db.Column(db.Numeric(10, 2), nullable=False)
    category = db.Column(db.String(40), nullable=False, server_default="other")
    meta = db.Column(JSONB, nullable=False, server_default="{}")
    spent_at = db.Column(db.DateTime(timezone=True), server_default=db.func.now())

    def to_dict(self):
        return {
            "id": self.id,
            "title": self.title,
            "amount": float(self.amount),
            "category": self.category,
            "meta": self.meta,
        }
