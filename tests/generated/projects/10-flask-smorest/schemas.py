from marshmallow import Schema, fields


class VehicleSchema(Schema):
    id = fields.Int(dump_only=True)
    plate = fields.Str(required=True)
    make = fields.Str(required=True)
    mileage = fields.Int()


class VehicleUpdateSchema(Schema):
    make = fields.Str()
    mileage = fields.Int()
