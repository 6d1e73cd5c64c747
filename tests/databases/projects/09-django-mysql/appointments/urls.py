from django.urls import path

from . import views

urlpatterns = [
    path('health/', views.HealthView.as_view()),
    path('doctors/', views.DoctorList.as_view()),
    path('appointments/', views.AppointmentList.as_view()),
    path('appointments/<int:pk>/', views.AppointmentDetail.as_view()),
]
