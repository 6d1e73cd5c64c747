from django.db import models
from django.urls import reverse


class Ticket(models.Model):
    subject = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    resolved = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return self.subject

    def get_absolute_url(self):
        return reverse("tickets:detail", args=[self.pk])
