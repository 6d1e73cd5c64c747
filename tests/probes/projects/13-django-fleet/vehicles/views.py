import json

from django.db.models import Avg, Count
from django.http import HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET

from .models import Vehicle


def parse_body(request):
    try:
        data = json.loads(request.body or b"{}")
    except (ValueError, UnicodeDecodeError):
        return None
    return data if isinstance(data, dict) else None


@method_decorator(csrf_exempt, name="dispatch")
class VehicleListView(View):
    def get(self, request):
        queryset = Vehicle.objects.order_by("id")
        brand = request.GET.get("brand")
        if brand:
            queryset = queryset.filter(brand__iexact=brand)
        return JsonResponse({"results": [vehicle.to_dict() for vehicle in queryset]})

    def post(self, request):
        data = parse_body(request)
        if data is None:
            return JsonResponse({"error": "Invalid JSON"}, status=400)
        plate, brand = data.get("plate"), data.get("brand")
        if not isinstance(plate, str) or not isinstance(brand, str) or not plate or not brand:
            return JsonResponse({"error": "plate and brand are required"}, status=400)
        if len(plate) > 16 or len(brand) > 60:
            return JsonResponse({"error": "plate or brand is too long"}, status=400)
        if Vehicle.objects.filter(plate=plate).exists():
            return JsonResponse({"error": "plate is already registered"}, status=409)
        vehicle = Vehicle.objects.create(plate=plate, brand=brand)
        return JsonResponse(vehicle.to_dict(), status=201)


@method_decorator(csrf_exempt, name="dispatch")
class VehicleDetailView(View):
    def get(self, request, pk):
        vehicle = Vehicle.objects.filter(pk=pk).first()
        if vehicle is None:
            return JsonResponse({"error": "Vehicle not found"}, status=404)
        return JsonResponse(vehicle.to_dict())

    def put(self, request, pk):
        vehicle = Vehicle.objects.get(pk=pk)
        data = parse_body(request)
        if data is None:
            return JsonResponse({"error": "Invalid JSON"}, status=400)
        mileage = data.get("mileage", vehicle.mileage)
        if not isinstance(mileage, int) or isinstance(mileage, bool) or not 0 <= mileage < 10_000_000:
            return JsonResponse({"error": "mileage must be a positive integer"}, status=400)
        vehicle.mileage = mileage
        vehicle.save()
        return JsonResponse(vehicle.to_dict())

    def delete(self, request, pk):
        deleted, _ = Vehicle.objects.filter(pk=pk).delete()
        if not deleted:
            return JsonResponse({"error": "Vehicle not found"}, status=404)
        return HttpResponse(status=204)


@require_GET
def consumption(request, pk):
    vehicle = Vehicle.objects.filter(pk=pk).first()
    if vehicle is None:
        return JsonResponse({"error": "Vehicle not found"}, status=404)
    return JsonResponse({"id": vehicle.id, "per_100_km": vehicle.fuel_used / vehicle.mileage * 100})


@require_GET
def stats(request):
    summary = Vehicle.objects.aggregate(total=Count("id"), average=Avg("mileage"))
    return JsonResponse({"total": summary["total"], "average_mileage": summary["average"] or 0})
