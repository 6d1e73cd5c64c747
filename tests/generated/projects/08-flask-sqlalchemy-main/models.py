from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class Movie(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    title = db.Column(db.String(200), nullable=False, unique=True)
    year = db.Column(db.Integer)
    watched = db.Column(db.Boolean, default=False, nullable=False)

    def serialize(self):
        return {"id": self.id, "title": self.title, "year": self.year, "watched": self.watched}
