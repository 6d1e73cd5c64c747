from django.db import models


class Vehicle(models.Model):
    plate = models.CharField(max_length=16, unique=True)
    brand = models.CharField(max_length=60)
    mileage = models.PositiveIntegerField(default=0)
    fuel_used = models.FloatField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    def to_dict(self):
        return {
            "id": self.id,
            "plate": self.plate,
            "brand": self.brand,
            "mileage": self.mileage,
            "fuel_used": self.fuel_used,
        }
