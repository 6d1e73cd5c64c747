from django.db import models


class Doctor(models.Model):
    name = models.CharField(max_length=120, unique=True)
    ward = models.CharField(max_length=60)


class Appointment(models.Model):
    doctor = models.ForeignKey(Doctor, on_delete=models.PROTECT, related_name='appointments')
    patient = models.CharField(max_length=120)
    starts_at = models.DateTimeField()
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ['starts_at']
        constraints = [
            models.UniqueConstraint(fields=['doctor', 'starts_at'], name='one_patient_at_a_time'),
        ]
