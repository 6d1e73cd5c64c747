from django.urls import path
from tickets import views

urlpatterns = [
    path("api/customers/", views.customers),
    path("api/tickets/", views.tickets),
    path("api/tickets/<int:ticket_id>/", views.ticket),
    path("api/tickets/<int:ticket_id>/assignee/", views.assignee),
]
