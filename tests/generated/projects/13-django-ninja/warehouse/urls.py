from django.urls import path
from ninja import NinjaAPI

from stock.api import router as stock_router

api = NinjaAPI(title="Warehouse API")
api.add_router("/items", stock_router)


@api.get("/health")
def health(request):
    return {"status": "ok"}


urlpatterns = [path("api/", api.urls)]
