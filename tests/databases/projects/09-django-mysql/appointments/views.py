from django.db import connection
from rest_framework import generics
from rest_framework.response import Response
from rest_framework.views import APIView

from .models import Appointment, Doctor
from .serializers import AppointmentSerializer, DoctorSerializer


class HealthView(APIView):
    def get(self, request):
        with connection.cursor() as cursor:
            cursor.execute('SELECT VERSION(), @@version_comment')
            row = cursor.fetchone()
        return Response({'vendor': connection.vendor, 'version': ' '.join(row)})


class DoctorList(generics.ListAPIView):
    queryset = Doctor.objects.order_by('pk')
    serializer_class = DoctorSerializer


class AppointmentList(generics.ListCreateAPIView):
    queryset = Appointment.objects.all()
    serializer_class = AppointmentSerializer


class AppointmentDetail(generics.RetrieveUpdateDestroyAPIView):
    queryset = Appointment.objects.all()
    serializer_class = AppointmentSerializer
