from db import VehicleModel, db
from flask.views import MethodView
from flask_smorest import Blueprint, abort
from schemas import VehicleSchema, VehicleUpdateSchema
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

blp = Blueprint("vehicles", __name__, description="Operations on vehicles")


@blp.route("/vehicle/<int:vehicle_id>")
class Vehicle(MethodView):
    @blp.response(200, VehicleSchema)
    def get(self, vehicle_id):
        return db.get_or_404(VehicleModel, vehicle_id)

    @blp.arguments(VehicleUpdateSchema)
    @blp.response(200, VehicleSchema)
    def put(self, vehicle_data, vehicle_id):
        vehicle = db.get_or_404(VehicleModel, vehicle_id)
        for key, value in vehicle_data.items():
            setattr(vehicle, key, value)
        db.session.commit()
        return vehicle

    def delete(self, vehicle_id):
        db.session.delete(db.get_or_404(VehicleModel, vehicle_id))
        db.session.commit()
        return {"message": "Vehicle deleted."}


@blp.route("/vehicle")
class VehicleList(MethodView):
    @blp.response(200, VehicleSchema(many=True))
    def get(self):
        return VehicleModel.query.all()

    @blp.arguments(VehicleSchema)
    @blp.response(201, VehicleSchema)
    def post(self, vehicle_data):
        vehicle = VehicleModel(**vehicle_data)
        try:
            db.session.add(vehicle)
            db.session.commit()
        except IntegrityError:
            abort(400, message="A vehicle with that plate already exists.")
        except SQLAlchemyError:
            abort(500, message="An error occurred while inserting the vehicle.")
        return vehicle
