from django.db import connection
from rest_framework import viewsets
from rest_framework.decorators import api_view
from rest_framework.response import Response

from .models import Recipe
from .serializers import RecipeSerializer


class RecipeViewSet(viewsets.ModelViewSet):
    queryset = Recipe.objects.all()
    serializer_class = RecipeSerializer

    def get_queryset(self):
        queryset = super().get_queryset()
        ingredient = self.request.query_params.get("ingredient")
        if ingredient:
            queryset = queryset.filter(ingredients__contains=[ingredient])
        return queryset


@api_view(["GET"])
def version(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        return Response({"database": cursor.fetchone()[0]})
