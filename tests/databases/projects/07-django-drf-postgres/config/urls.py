from django.contrib import admin
from django.urls import include, path
from rest_framework.routers import DefaultRouter

from recipes.views import RecipeViewSet, version

router = DefaultRouter()
router.register("recipes", RecipeViewSet)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/version/", version),
    path("api/", include(router.urls)),
]
