from django.urls import include, path
from menu.views import DishViewSet, cheapest
from rest_framework.routers import DefaultRouter

router = DefaultRouter()
router.register("dishes", DishViewSet)

urlpatterns = [path("api/cheapest/", cheapest), path("api/", include(router.urls))]
