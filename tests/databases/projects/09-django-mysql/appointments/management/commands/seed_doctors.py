from django.core.management.base import BaseCommand

from appointments.models import Doctor

DOCTORS = [('Dr. Okafor', 'Cardiology'), ('Dr. Lindqvist', 'Paediatrics')]


class Command(BaseCommand):
    help = 'Creates the doctors'

    def handle(self, *args, **options):
        for name, ward in DOCTORS:
            Doctor.objects.get_or_create(name=name, defaults={'ward': ward})
        self.stdout.write(f'{Doctor.objects.count()} doctors')
