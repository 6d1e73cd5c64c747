import json

from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET

from .models import Quote


@require_GET
def random_quote(request):
    quote = Quote.objects.order_by("?").first()
    if quote is None:
        return JsonResponse({"error": "No quotes yet"}, status=404)
    return JsonResponse(quote.as_dict())


@method_decorator(csrf_exempt, name="dispatch")
class QuoteList(View):
    def get(self, request):
        return JsonResponse([quote.as_dict() for quote in Quote.objects.all()], safe=False)

    def post(self, request):
        data = json.loads(request.body)
        quote = Quote.objects.create(text=data["text"], author=data["author"])
        return JsonResponse(quote.as_dict(), status=201)


@method_decorator(csrf_exempt, name="dispatch")
class QuoteDetail(View):
    def get(self, request, pk):
        return JsonResponse(get_object_or_404(Quote, pk=pk).as_dict())

    def put(self, request, pk):
        quote = get_object_or_404(Quote, pk=pk)
        data = json.loads(request.body)
        quote.text = data.get("text", quote.text)
        quote.author = data.get("author", quote.author)
        quote.save()
        return JsonResponse(quote.as_dict())

    def delete(self, request, pk):
        get_object_or_404(Quote, pk=pk).delete()
        return HttpResponse(status=204)
