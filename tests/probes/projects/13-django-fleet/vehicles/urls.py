from django.urls import path

from . import views

urlpatterns = [
    path("vehicles/", views.VehicleListView.as_view(), name="vehicle-list"),
    path("vehicles/<int:pk>/", views.VehicleDetailView.as_view(), name="vehicle-detail"),
    path("vehicles/<int:pk>/consumption/", views.consumption, name="vehicle-consumption"),
    path("stats/", views.stats, name="stats"),
]
