from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse_lazy
from django.views.decorators.http import require_POST
from django.views.generic import CreateView, DeleteView, DetailView, ListView

from .models import Ticket


class TicketListView(ListView):
    model = Ticket


class TicketDetailView(DetailView):
    model = Ticket


class TicketCreateView(CreateView):
    model = Ticket
    fields = ["subject", "description"]


class TicketDeleteView(DeleteView):
    model = Ticket
    success_url = reverse_lazy("tickets:list")


@require_POST
def resolve(request, pk):
    ticket = get_object_or_404(Ticket, pk=pk)
    ticket.resolved = True
    ticket.save()
    return redirect(ticket)
