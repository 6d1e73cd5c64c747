from django.db import models


class Dish(models.Model):
    name = models.CharField(max_length=80)
    price = models.DecimalField(max_digits=6, decimal_places=2)
    vegan = models.BooleanField(default=False)
