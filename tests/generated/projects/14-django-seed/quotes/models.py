from django.db import models


class Quote(models.Model):
    text = models.TextField()
    author = models.CharField(max_length=100)

    def as_dict(self):
        return {"id": self.pk, "text": self.text, "author": self.author}
