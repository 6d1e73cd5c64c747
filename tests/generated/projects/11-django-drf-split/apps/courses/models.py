from django.conf import settings
from django.db import models


class Course(models.Model):
    LEVELS = [("beginner", "Beginner"), ("advanced", "Advanced")]

    title = models.CharField(max_length=200)
    level = models.CharField(max_length=20, choices=LEVELS, default="beginner")
    published = models.BooleanField(default=False)
    teacher = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="courses"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self):
        return self.title


class Lesson(models.Model):
    course = models.ForeignKey(Course, on_delete=models.CASCADE, related_name="lessons")
    title = models.CharField(max_length=200)
    position = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["position"]
