import json

from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from .models import Customer, Ticket


def read(request):
    try:
        data = json.loads(request.body or b"{}")
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def shown(ticket):
    return {"id": ticket.id, "subject": ticket.subject, "priority": ticket.priority, "assignee": ticket.assignee}


@csrf_exempt
@require_http_methods(["GET", "POST"])
def customers(request):
    if request.method == "GET":
        return JsonResponse(
            [{"id": c.id, "email": c.email, "name": c.name} for c in Customer.objects.all()], safe=False
        )
    data = read(request)
    if data is None or not isinstance(data.get("email"), str) or not isinstance(data.get("name"), str):
        return JsonResponse({"error": "email and name are required"}, status=400)
    customer = Customer.objects.create(email=data["email"], name=data["name"])
    return JsonResponse({"id": customer.id, "email": customer.email, "name": customer.name}, status=201)


@csrf_exempt
@require_http_methods(["GET", "POST"])
def tickets(request):
    if request.method == "GET":
        return JsonResponse([shown(one) for one in Ticket.objects.all()], safe=False)
    data = read(request)
    if data is None or not isinstance(data.get("subject"), str) or not data["subject"]:
        return JsonResponse({"error": "subject is required"}, status=400)
    ticket = Ticket.objects.create(subject=data["subject"][:200])
    return JsonResponse(shown(ticket), status=201)


@require_http_methods(["GET"])
def ticket(request, ticket_id):
    found = Ticket.objects.filter(id=ticket_id).first()
    if found is None:
        return JsonResponse({"error": "not found"}, status=404)
    return JsonResponse(shown(found))


@require_http_methods(["GET"])
def assignee(request, ticket_id):
    found = Ticket.objects.filter(id=ticket_id).first()
    if found is None:
        return JsonResponse({"error": "not found"}, status=404)
    return JsonResponse({"assignee": found.assignee.title()})
