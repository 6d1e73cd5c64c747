from django.urls import include, path

urlpatterns = [
    path("api/quotes/", include("quotes.urls")),
]
