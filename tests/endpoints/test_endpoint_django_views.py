from __future__ import annotations

from pathlib import Path

import pytest
from django_project_kit import by_route, django_project, listed


def methods(folder: Path, view: str, views: str = "") -> list[str]:
    """Methods of ``view`` on the one path of a project."""
    urls = f"from shop.views import *\nfrom shop import views\nurlpatterns = [path('x/', {view})]\n"
    return [item.partition(" ")[0] for item in listed(django_project(folder, urls, shop__views=views))]


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("TemplateView", "GET"),
        ("ListView", "GET"),
        ("DetailView", "GET"),
        ("FormView", "GET POST PUT"),
        ("CreateView", "GET POST PUT"),
        ("UpdateView", "GET POST PUT"),
        ("DeleteView", "GET POST DELETE"),
        ("RedirectView", "GET POST PUT PATCH DELETE"),
        ("View", "*"),
    ],
)
def test_a_generic_view_answers_to_what_its_base_does(tmp_path: Path, base: str, expected: str) -> None:
    views = f"from django.views import generic\nclass V(generic.{base}): ...\n"
    assert methods(tmp_path, "V.as_view()", views) == expected.split()


def test_generic_views_need_no_class_of_the_project(tmp_path: Path) -> None:
    views = "from django.views.generic import TemplateView\n"
    assert methods(tmp_path, "TemplateView.as_view(template_name='x.html')", views) == ["GET"]


def test_methods_come_from_the_whole_lineage_over_files(tmp_path: Path) -> None:
    urls = "from shop.views import Child\nurlpatterns = [path('x/', Child.as_view())]\n"
    base = """
    from django.contrib.auth.mixins import LoginRequiredMixin
    from django.views.generic import ListView
    class Base(LoginRequiredMixin, ListView):
        def post(self, request): ...
    """
    child = "from .base import Base\nclass Child(Base):\n    def delete(self, request): ...\n"
    folder = django_project(tmp_path, urls, shop__base=base, shop__views=child)
    assert listed(folder) == ["GET /x/", "POST /x/", "DELETE /x/"]


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ("http_method_names = ['get', 'head']", ""),
        ("put = None\n    post = None", ""),
        ("pass", "http_method_names=['get']"),
    ],
)
def test_methods_can_be_taken_away(tmp_path: Path, body: str, arguments: str) -> None:
    views = f"from django.views.generic import FormView\nclass V(FormView):\n    {body}\n"
    assert methods(tmp_path, f"V.as_view({arguments})", views) == ["GET"]


@pytest.mark.parametrize(
    ("decorator", "expected"),
    [
        ("@require_http_methods(['GET', 'POST'])", "GET POST"),
        ("@require_GET", "GET"),
        ("@require_POST", "POST"),
        ("@require_safe", "GET"),
        ("@csrf_exempt\n@require_POST\n@login_required", "POST"),
        ("@login_required(login_url='/x')", "*"),
        ("@own", "*"),
    ],
)
def test_decorators_say_which_methods_a_function_takes(tmp_path: Path, decorator: str, expected: str) -> None:
    views = f"""
from django.contrib.auth.decorators import login_required
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import *
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe
def own(function):
    def inner(request): ...
    return inner
{decorator}
def f(request): ...
"""
    assert methods(tmp_path, "views.f", views) == expected.split()


@pytest.mark.parametrize(
    "view",
    [
        "login_required(V.as_view())",
        "cache_page(60)(V.as_view())",
        "csrf_exempt(cache_page(60)(V.as_view()))",
        "method(60)(login_required(V.as_view()))",
        "made",
    ],
)
def test_a_wrapper_around_a_view_is_the_view(tmp_path: Path, view: str) -> None:
    views = """
    from django.contrib.auth.decorators import login_required
    from django.views import View
    from django.views.decorators.cache import cache_page
    from django.views.decorators.csrf import csrf_exempt
    class V(View):
        def get(self, request): ...
    made = login_required(V.as_view())
    """
    assert methods(tmp_path, view, views) == ["GET"]


def test_a_view_that_cannot_be_followed_is_shown_all_the_same(tmp_path: Path) -> None:
    urls = """
    from somewhere.views import outside, Outside
    from shop.feeds import Feed
    from shop.missing import gone
    urlpatterns = [path("a/", outside), path("b/", Outside.as_view()), path("c/", gone), path("d/", Feed())]
    """
    feeds = "from django.contrib.syndication.views import Feed as Base\nclass Feed(Base):\n    '''News.'''\n"
    folder = django_project(tmp_path, urls, shop__feeds=feeds)
    assert listed(folder) == ["* /a/", "* /b/", "* /c/", "* /d/"]


def test_what_the_source_says_of_a_view_is_told(tmp_path: Path) -> None:
    views = '''
    from django.views import View
    def search_books(request):
        """Find books.

        By title.
        """
        q = request.GET.get("q")
        tags = request.GET.getlist("tag")
        return request.GET["page"]
    class BookDetailView(View):
        """A book."""
        def get(self, request, pk): ...
    '''
    urls = """
    from shop.views import BookDetailView, search_books
    urlpatterns = [path("search/", search_books), path("books/<int:pk>/", BookDetailView.as_view())]
    """
    found = by_route(django_project(tmp_path, urls, shop__views=views))
    search = found["* /search/"]
    assert (search.summary, search.description) == ("Find books.", "Find books.\n\nBy title.")
    assert search.query == {"q": "string", "tag": "array", "page": "string"}
    book = found["GET /books/{pk}/"]
    assert (book.summary, book.description, book.tags) == ("Get Book Detail", "A book.", ("shop",))
    assert (book.file, book.line) == ("shop/views.py", 13)
