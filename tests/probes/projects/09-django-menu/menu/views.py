from rest_framework import serializers, viewsets
from rest_framework.decorators import action, api_view
from rest_framework.response import Response

from .models import Dish


class DishSerializer(serializers.ModelSerializer):
    class Meta:
        model = Dish
        fields = ["id", "name", "price", "vegan"]


class DishViewSet(viewsets.ModelViewSet):
    queryset = Dish.objects.all()
    serializer_class = DishSerializer

    def retrieve(self, request, pk=None):
        dish = Dish.objects.filter(pk=pk).first() if str(pk).isdigit() else None
        if dish is None:
            return Response({"detail": "Not found."})
        return Response(DishSerializer(dish).data)

    @action(detail=True, methods=["get"])
    def discount(self, request, pk=None):
        percent = int(request.query_params.get("percent", 10))
        dish = self.get_object()
        return Response({"price": dish.price - dish.price * percent / 100})


@api_view(["GET"])
def cheapest(request):
    dishes = list(Dish.objects.order_by("price"))
    return Response(DishSerializer(dishes[0]).data)
