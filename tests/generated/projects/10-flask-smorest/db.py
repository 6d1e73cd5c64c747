from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class VehicleModel(db.Model):
    __tablename__ = "vehicles"

    id = db.Column(db.Integer, primary_key=True)
    plate = db.Column(db.String(16), unique=True, nullable=False)
    make = db.Column(db.String(80), nullable=False)
    mileage = db.Column(db.Integer, nullable=False, default=0)
