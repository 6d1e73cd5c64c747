import json

from django.core.cache import cache
from django.db import connection
from django.db.models import F
from django.http import Http404, HttpResponse, JsonResponse
from django.views import View
from django.views.decorators.http import require_GET

from .models import Choice, Question


def as_dict(question):
    return {
        "id": question.pk,
        "text": question.text,
        "choices": [{"text": one.text, "votes": one.votes} for one in question.choices.order_by("pk")],
    }


def find(pk):
    try:
        return Question.objects.get(pk=pk)
    except Question.DoesNotExist:
        raise Http404("No such question")


@require_GET
def status(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        version = cursor.fetchone()[0]
    return JsonResponse({"database": version, "visits": request.session["visits"]})


class QuestionList(View):
    def get(self, request):
        return JsonResponse([as_dict(one) for one in Question.objects.order_by("pk")], safe=False)

    def post(self, request):
        data = json.loads(request.body)
        if not data.get("text") or not data.get("choices"):
            return JsonResponse({"error": "text and choices are required"}, status=400)
        question = Question.objects.create(text=data["text"])
        Choice.objects.bulk_create([Choice(question=question, text=text) for text in data["choices"]])
        return JsonResponse(as_dict(question), status=201)


class QuestionDetail(View):
    def get(self, request, pk):
        key = f"question:{pk}"
        found = cache.get(key)
        if found is None:
            found = as_dict(find(pk))
            cache.set(key, found, 30)
            return JsonResponse({**found, "cached": False})
        return JsonResponse({**found, "cached": True})

    def put(self, request, pk):
        question = find(pk)
        question.text = json.loads(request.body)["text"]
        question.save()
        cache.delete(f"question:{pk}")
        return JsonResponse(as_dict(question))

    def delete(self, request, pk):
        find(pk).delete()
        cache.delete(f"question:{pk}")
        return HttpResponse(status=204)


class VoteView(View):
    def post(self, request, pk):
        text = json.loads(request.body)["choice"]
        if not Choice.objects.filter(question_id=pk, text=text).update(votes=F("votes") + 1):
            raise Http404("No such choice")
        cache.delete(f"question:{pk}")
        return JsonResponse(as_dict(find(pk)))
