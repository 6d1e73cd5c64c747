from __future__ import annotations

from pathlib import Path

import pytest
from django_project_kit import by_route, django_project, listed

HEAD = """
from rest_framework import generics, mixins, viewsets
from rest_framework.decorators import action, api_view, detail_route, list_route
from rest_framework.generics import *
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter, SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet, ModelViewSet, ReadOnlyModelViewSet, ViewSet
from rest_framework_nested import routers
"""
ALL = ["GET /b/", "POST /b/", "GET /b/{pk}/", "PUT /b/{pk}/", "PATCH /b/{pk}/", "DELETE /b/{pk}/"]


def routed(folder: Path, text: str, **files: str) -> list[str]:
    """Routes of a project whose URL configuration is this."""
    return listed(django_project(folder, HEAD + text, **files))


@pytest.mark.parametrize("router", ["DefaultRouter()", "SimpleRouter()", "routers.DefaultRouter()"])
def test_a_router_has_the_routes_of_its_view_sets_and_no_root_of_its_own(tmp_path: Path, router: str) -> None:
    text = f"""
class Books(ModelViewSet): ...
router = {router}
router.register(r"b", Books, basename="book")
urlpatterns = [path("", include(router.urls))]
"""
    assert routed(tmp_path, text) == ALL


@pytest.mark.parametrize(
    ("bases", "expected"),
    [
        ("ReadOnlyModelViewSet", ["GET /b/", "GET /b/{pk}/"]),
        ("mixins.CreateModelMixin, GenericViewSet", ["POST /b/"]),
        ("mixins.UpdateModelMixin, viewsets.GenericViewSet", ["PUT /b/{pk}/", "PATCH /b/{pk}/"]),
        (
            "mixins.RetrieveModelMixin, mixins.DestroyModelMixin, mixins.ListModelMixin, GenericViewSet",
            ["GET /b/", "GET /b/{pk}/", "DELETE /b/{pk}/"],
        ),
        ("Unknown", []),
    ],
)
def test_a_view_sets_mixins_decide(tmp_path: Path, bases: str, expected: list[str]) -> None:
    text = f"""
class Books({bases}): ...
router = DefaultRouter()
router.register("b", Books)
urlpatterns = router.urls
"""
    assert routed(tmp_path, text) == expected


def test_a_view_set_may_write_its_actions_itself_and_inherit_them_over_files(tmp_path: Path) -> None:
    base = HEAD + "class Base(ViewSet):\n    def list(self, request): ...\n    def destroy(self, request, pk): ...\n"
    text = """
from shop.base import Base
class Books(Base):
    destroy = None
    def retrieve(self, request, pk): ...
router = DefaultRouter()
router.register(prefix="b", viewset=Books)
urlpatterns = [path("api/", include((router.urls, "api"), namespace="v1"))]
"""
    assert routed(tmp_path, text, shop__base=base) == ["GET /api/b/", "GET /api/b/{pk}/"]


def test_actions_are_routes_of_the_list_or_of_one_object(tmp_path: Path) -> None:
    text = r"""
class Shared(GenericViewSet):
    @action(methods=["POST"], detail=False)
    def inherited(self, request): ...
class Books(Shared):
    @action(detail=False)
    def newest_ones(self, request): ...
    @action(["get", "post"], True, url_path="buy-now")
    def buy(self, request, pk): ...
    @swagger_auto_schema(x=1)
    @action(detail=True, methods=["put"])
    def cover(self, request, pk): ...
    @cover.mapping.delete
    def delete_cover(self, request, pk): ...
    @action(detail=False, url_path=r"by/(?P<slug>[^/.]+)")
    def by_slug(self, request, slug): ...
    @list_route(methods=["post"])
    def former(self, request): ...
    @detail_route()
    def former_detail(self, request, pk): ...
router = DefaultRouter()
router.register("b", Books)
urlpatterns = router.urls
"""
    assert routed(tmp_path, text) == [
        "GET /b/newest_ones/",
        "GET /b/by/{slug}/",
        "POST /b/former/",
        "POST /b/inherited/",
        "GET /b/{pk}/buy-now/",
        "POST /b/{pk}/buy-now/",
        "PUT /b/{pk}/cover/",
        "DELETE /b/{pk}/cover/",
        "GET /b/{pk}/former_detail/",
    ]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("lookup_field = 'slug'", "slug"),
        ("lookup_field = 'user__name'\n    lookup_url_kwarg = 'name'", "name"),
        ("lookup_field = 'uuid'\n    lookup_value_regex = '[0-9a-f]+'", "uuid"),
    ],
)
def test_the_lookup_names_the_parameter(tmp_path: Path, body: str, name: str) -> None:
    text = f"""
class Books(ReadOnlyModelViewSet):
    {body}
router = DefaultRouter()
router.register("b", Books)
urlpatterns = router.urls
"""
    assert routed(tmp_path, text) == ["GET /b/", f"GET /b/{{{name}}}/"]


def test_http_method_names_take_methods_from_a_view_set(tmp_path: Path) -> None:
    text = """
class Books(ModelViewSet):
    http_method_names = ["get", "patch", "head"]
router = DefaultRouter()
router.register("b", Books)
urlpatterns = router.urls
"""
    assert routed(tmp_path, text) == ["GET /b/", "GET /b/{pk}/", "PATCH /b/{pk}/"]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        ("DefaultRouter(trailing_slash=False)", ["GET /b", "GET /b/{pk}"]),
        ("Own()", ["GET /b", "GET /b/{pk}"]),
        ("Optional()", ["GET /b/", "GET /b/{pk}/"]),
    ],
)
def test_a_router_may_leave_out_the_slash(tmp_path: Path, make: str, expected: list[str]) -> None:
    text = f"""
class Own(SimpleRouter):
    trailing_slash = ""
class Optional(DefaultRouter):
    def __init__(self):
        super().__init__()
        self.trailing_slash = "/?"
class Books(ReadOnlyModelViewSet): ...
router = {make}
router.register("b", Books)
urlpatterns = router.urls
"""
    assert routed(tmp_path, text) == expected


def test_prefixes_may_be_empty_hold_parameters_and_come_from_a_loop(tmp_path: Path) -> None:
    text = r"""
class Books(ReadOnlyModelViewSet): ...
router = SimpleRouter()
router.register("", Books)
urlpatterns = [path("none/", include(router.urls))]
router = SimpleRouter()
router.register(r"shops/(?P<shop_id>\d+)/books", Books)
for prefix, viewset in [("x", Books), ("y", Books)]:
    router.register(prefix, viewset)
urlpatterns += router.urls
"""
    assert routed(tmp_path, text) == [
        "GET /none/",
        "GET /none/{pk}/",
        *("GET /shops/{shop_id}/books/", "GET /shops/{shop_id}/books/{pk}/"),
        *("GET /x/", "GET /x/{pk}/", "GET /y/", "GET /y/{pk}/"),
    ]


def test_routers_take_over_from_each_other(tmp_path: Path) -> None:
    shop = HEAD + "class Books(ReadOnlyModelViewSet): ...\nrouter = DefaultRouter()\nrouter.register('b', Books)\n"
    text = """
from shop.urls import router as shop_router
router = DefaultRouter()
router.registry.extend(shop_router.registry)
urlpatterns = [path("v1/", include(router.urls)), *shop_router.urls]
"""
    assert routed(tmp_path, text, shop__urls=shop) == ["GET /v1/b/", "GET /v1/b/{pk}/", "GET /b/", "GET /b/{pk}/"]


def test_nested_routers_have_their_parents_parameters(tmp_path: Path) -> None:
    text = """
class Shops(ReadOnlyModelViewSet):
    lookup_field = "slug"
class Books(ReadOnlyModelViewSet): ...
router = routers.SimpleRouter()
router.register("shops", Shops)
books = routers.NestedSimpleRouter(router, "shops", lookup="shop")
books.register("b", Books)
pages = routers.NestedDefaultRouter(books, "b", lookup="book")
pages.register("p", Books)
urlpatterns = books.urls + pages.urls
"""
    assert routed(tmp_path, text) == [
        "GET /shops/{shop_slug}/b/",
        "GET /shops/{shop_slug}/b/{pk}/",
        "GET /shops/{shop_slug}/b/{book_pk}/p/",
        "GET /shops/{shop_slug}/b/{book_pk}/p/{pk}/",
    ]


def test_extended_routers_register_below_what_was_registered(tmp_path: Path) -> None:
    text = """
from rest_framework_extensions.routers import ExtendedSimpleRouter
class Books(ReadOnlyModelViewSet): ...
router = ExtendedSimpleRouter()
router.register("shops", Books).register("b", Books, "shop-books", parents_query_lookups=["shop"])
urlpatterns = router.urls
"""
    assert routed(tmp_path, text)[2:] == [
        "GET /shops/{parent_lookup_shop}/b/",
        "GET /shops/{parent_lookup_shop}/b/{pk}/",
    ]


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("ListAPIView", "GET"),
        ("ListCreateAPIView", "GET POST"),
        ("RetrieveUpdateAPIView", "GET PUT PATCH"),
        ("generics.RetrieveUpdateDestroyAPIView", "GET PUT PATCH DELETE"),
        ("generics.CreateAPIView", "POST"),
        ("APIView", "*"),
    ],
)
def test_generic_api_views_answer_to_what_their_base_does(tmp_path: Path, base: str, expected: str) -> None:
    text = f"class Books({base}): ...\nurlpatterns = [path('b/', Books.as_view())]\n"
    assert routed(tmp_path, text) == [f"{method} /b/" for method in expected.split()]


def test_functions_and_view_sets_are_mapped_by_hand(tmp_path: Path) -> None:
    text = """
from rest_framework.urlpatterns import format_suffix_patterns
@api_view()
def one(request): ...
@extend_schema(x=1)
@api_view(["get", "POST"])
@permission_classes([A])
def two(request): ...
class Books(ModelViewSet): ...
books = Books.as_view({"get": "list", "post": "create"})
urlpatterns = format_suffix_patterns([path("1/", one), path("2/", two), path("b/", books)])
"""
    assert routed(tmp_path, text) == ["GET /1/", "GET /2/", "POST /2/", "GET /b/", "POST /b/"]


def test_views_of_packages_answer_to_what_they_are_known_for(tmp_path: Path) -> None:
    text = """
from django.contrib.auth import views as auth_views
from drf_spectacular.views import SpectacularAPIView
from drf_yasg.views import get_schema_view
from knox.views import LogoutView
from rest_framework.authtoken.views import obtain_auth_token
from rest_framework_simplejwt.views import TokenObtainPairView
class Token(TokenObtainPairView): ...
schema_view = get_schema_view(x, public=True)
urlpatterns = [
    path("1/", obtain_auth_token), path("2/", TokenObtainPairView.as_view()), path("3/", Token.as_view()),
    path("4/", SpectacularAPIView.as_view()), path("5/", schema_view.with_ui("swagger", cache_timeout=0)),
    path("6/", schema_view), path("7/", LogoutView.as_view()), path("8/", auth_views.LoginView.as_view()),
]
"""
    assert routed(tmp_path, text) == [
        *("POST /1/", "POST /2/", "POST /3/", "GET /4/", "GET /5/", "GET /6/", "POST /7/"),
        *("GET /8/", "POST /8/", "PUT /8/"),
    ]


def test_djosers_users_have_their_actions_by_the_models_user_name(tmp_path: Path) -> None:
    text = """
from djoser.views import UserViewSet
class Users(UserViewSet):
    set_password = None
router = DefaultRouter()
router.register("users", Users)
urlpatterns = router.urls
"""
    settings = "ROOT_URLCONF = 'config.urls'\nAUTH_USER_MODEL = 'people.Person'\n"
    models = "from django.contrib.auth.models import *\nclass Person(AbstractUser):\n    USERNAME_FIELD = 'email'\n"
    found = routed(tmp_path, text, config__settings=settings, people__models=models)
    assert {"POST /users/set_email/", "POST /users/reset_email_confirm/", "PATCH /users/me/"} < set(found)
    assert "DELETE /users/{id}/" in found
    assert "POST /users/set_password/" not in found


def test_serializers_give_bodies_and_answers(tmp_path: Path) -> None:
    models = """
    from django.db import models
    class Shop(models.Model):
        name = models.CharField(max_length=10)
    class Book(models.Model):
        title = models.CharField(max_length=10)
        pages = models.IntegerField(default=0)
        in_stock = models.BooleanField()
        shop = models.ForeignKey(Shop, on_delete=models.CASCADE)
    """
    serializers = """
    from rest_framework import serializers
    from .models import Book, Shop
    class ShopSerializer(serializers.ModelSerializer):
        class Meta:
            model = Shop
            fields = "__all__"
    class BookSerializer(serializers.ModelSerializer):
        shop = ShopSerializer()
        tags = serializers.ListField(child=serializers.IntegerField())
        class Meta:
            model = Book
            fields = ("id", "title", "pages", "in_stock", "shop", "tags")
    class Search(serializers.Serializer):
        q = serializers.CharField()
    """
    views = (
        HEAD
        + """
from .serializers import BookSerializer, Search, ShopSerializer
class Books(ModelViewSet):
    serializer_class = BookSerializer
    filterset_fields = ["pages"]
    search_fields = ["title"]
    ordering_fields = ["title"]
    @action(detail=False, methods=["post"])
    def search(self, request):
        '''Find.'''
        serializer = Search(data=request.data)
        return Response(BookSerializer([], many=True).data)
"""
    )
    settings = """
    ROOT_URLCONF = "config.urls"
    REST_FRAMEWORK = {"DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination"}
    """
    text = """
from shop.views import Books
router = DefaultRouter()
router.register("b", Books)
urlpatterns = router.urls
"""
    found = by_route(
        django_project(
            tmp_path,
            HEAD + text,
            config__settings=settings,
            shop__models=models,
            shop__serializers=serializers,
            shop__views=views,
        )
    )
    book = {
        "id": "integer",
        "title": "string",
        "pages": "integer",
        "in_stock": "boolean",
        "shop": {"id": "integer", "name": "string"},
        "tags": ["integer"],
    }
    assert found["POST /b/"].request_body == book
    assert found["GET /b/"].response_schema == [book]
    assert found["GET /b/"].request_body is None
    assert found["GET /b/"].query == {"pages": "string", "search": "string", "ordering": "string", "page": "integer"}
    assert found["GET /b/{pk}/"].query == {}
    assert found["DELETE /b/{pk}/"].response_schema is None
    search = found["POST /b/search/"]
    assert (search.request_body, search.response_schema, search.summary) == ({"q": "string"}, [book], "Find.")
    assert found["PATCH /b/{pk}/"].summary == "Partially update Books"
