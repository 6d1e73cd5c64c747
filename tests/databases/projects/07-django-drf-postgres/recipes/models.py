from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models


class Recipe(models.Model):
    title = models.CharField(max_length=200)
    minutes = models.PositiveIntegerField(default=30)
    ingredients = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    notes = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        indexes = [GinIndex(fields=["ingredients"], name="recipe_ingredients_gin")]

    def __str__(self):
        return self.title
