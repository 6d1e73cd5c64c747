import click
from flask.cli import with_appcontext

from .extensions import db
from .models import Expense


@click.command("seed")
@with_appcontext
def seed():
    """Insert two expenses."""
    if not Expense.query.count():
        db.session.add(Expense(title="Train ticket", amount=19.9, category="travel", meta={"class": 2}))
        db.session.add(Expense(title="Lunch", amount=12))
        db.session.commit()
    click.echo("Seeded.")
