from __future__ import annotations

from pathlib import Path

from django_project_kit import by_route, django_project, listed


def test_ninja_has_its_operations_and_routers(tmp_path: Path) -> None:
    urls = """
    from ninja import NinjaAPI
    from shop.api import router
    from shop import more
    api = NinjaAPI(title="x")
    api.add_router("/books/", router, tags=["books"])
    api.add_router("/more", more)
    api.add_router("named", "shop.named.router")
    @api.get("/hello")
    def hello(request):
        '''Say hello.'''
    @api.api_operation(["POST", "PATCH"], "/op")
    def op(request): ...
    urlpatterns = [path("api/", api.urls)]
    """
    router = """
    from ninja import Router
    router = Router()
    @router.get("/")
    def all_books(request): ...
    @router.delete("/{int:book_id}")
    def delete_book(request, book_id: int): ...
    """
    single = "from ninja import Router\nrouter = Router()\n@router.put('x')\ndef put(request): ...\n"
    folder = django_project(tmp_path, urls, shop__api=router, shop__more=single, shop__named=single)
    found = by_route(folder)
    assert sorted(found) == sorted(
        [
            "GET /api/books/",
            "DELETE /api/books/{book_id}",
            "PUT /api/more/x",
            "PUT /api/named/x",
            "GET /api/hello",
            "POST /api/op",
            "PATCH /api/op",
        ]
    )
    assert found["GET /api/books/"].tags == ("books",)
    assert found["DELETE /api/books/{book_id}"].path_parameters == {"book_id": "integer"}
    assert (found["GET /api/hello"].summary, found["GET /api/hello"].description) == ("Hello", "Say hello.")


def test_controllers_of_ninja_extra_are_classes(tmp_path: Path) -> None:
    urls = """
    from ninja_extra import NinjaExtraAPI, api_controller, http_get, http_post
    @api_controller("/users", tags=["users"])
    class Users:
        @http_get("/{user_id}")
        def one(self, user_id: int): ...
        @http_post("/")
        def create(self): ...
    api = NinjaExtraAPI()
    api.register_controllers(Users)
    urlpatterns = [path("api/", api.urls)]
    """
    assert listed(django_project(tmp_path, urls)) == ["GET /api/users/{user_id}", "POST /api/users/"]


def test_ninjas_schemas_give_bodies_queries_and_answers(tmp_path: Path) -> None:
    urls = """
    from ninja import NinjaAPI, Schema
    class BookIn(Schema):
        title: str
        pages: int = 0
    class BookOut(BookIn):
        id: int
    api = NinjaAPI()
    @api.post("/books", response={201: BookOut, 400: str})
    def create(request, payload: BookIn): ...
    @api.get("/books/{book_id}", response=list[BookOut])
    def one(request, book_id: int, full: bool = False): ...
    urlpatterns = [path("api/", api.urls)]
    """
    found = by_route(django_project(tmp_path, urls))
    book = {"title": "string", "pages": "integer"}
    create, one = found["POST /api/books"], found["GET /api/books/{book_id}"]
    assert (create.request_body, create.query) == (book, {})
    assert create.response_schema == {**book, "id": "integer"}
    assert (one.query, one.request_body) == ({"full": "boolean"}, None)
    assert one.response_schema == [{**book, "id": "integer"}]
