from django.core.management.base import BaseCommand

from quotes.models import Quote

QUOTES = [
    ("Simplicity is prerequisite for reliability.", "Edsger Dijkstra"),
    ("Programs must be written for people to read.", "Harold Abelson"),
    ("The most damaging phrase is: we have always done it this way.", "Grace Hopper"),
]


class Command(BaseCommand):
    help = "Loads the sample quotes"

    def handle(self, *args, **options):
        for text, author in QUOTES:
            Quote.objects.get_or_create(text=text, author=author)
        self.stdout.write(self.style.SUCCESS(f"Seeded {len(QUOTES)} quotes"))
