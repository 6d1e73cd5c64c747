from __future__ import annotations

from pathlib import Path

import pytest
from django_project_kit import by_route, django_project, listed

from preview.endpoints import extract

VIEWS = """
from django.views import View
def home(request): ...
def book(request, pk): ...
class Page(View):
    def get(self, request): ...
    def post(self, request): ...
"""
SHOP_URLS = "from django.urls import path\nfrom shop import views\nurlpatterns = [path('books/', views.home)]\n"


def test_a_function_takes_any_method_and_a_converter_is_a_parameter_with_its_type(tmp_path: Path) -> None:
    urls = """
    from shop import views
    urlpatterns = [path("", views.home), path("books/<int:pk>/<slug:title>/<uuid:u>/<name>", views.book)]
    """
    found = by_route(django_project(tmp_path, urls, shop__views=VIEWS))
    assert list(found) == ["* /", "* /books/{pk}/{title}/{u}/{name}"]
    book = found["* /books/{pk}/{title}/{u}/{name}"]
    assert book.path_parameters == {"pk": "integer", "title": "string", "u": "string", "name": "string"}
    assert (book.file, book.line, book.tags) == ("shop/views.py", 4, ("shop",))


@pytest.mark.parametrize(
    ("regex", "path"),
    [
        (r"^books/(?P<pk>\d+)/$", "/books/{pk}/"),
        (r"^books/([0-9]+)/?$", "/books/{var}/"),
        (r"^(?P<year>[0-9]{4})/(?P<slug>[\w-]+)$", "/{year}/{slug}"),
        (r"^file(?P<format>\.json|\.yaml)$", "/file{format}"),
        (r"^robots\.txt$", "/robots.txt"),
        (r"^a/(?:page-(?P<n>\d+)/)?$", "/a/page-{n}/"),
        (r"^a/(page-(?P<n>\d+)/)?$", "/a/page-{n}/"),
        (r"^x/(?P<id>(a|b)(c))/\Z", "/x/{id}/"),
        (r"(?i)^shout/(?P<c>[)(]+)/$", "/shout/{c}/"),
        (r"^.*$", "/.*"),
        (r"^open(", "/open{var}"),
    ],
)
def test_a_regular_expression_is_shown_as_a_path(tmp_path: Path, regex: str, path: str) -> None:
    urls = f"from shop.views import home\nurlpatterns = [re_path({regex!r}, home)]\n"
    assert listed(django_project(tmp_path, urls, shop__views=VIEWS)) == [f"* {path}"]


def test_a_group_of_digits_is_an_integer(tmp_path: Path) -> None:
    urls = "from shop.views import book\nurlpatterns = [re_path(r'^b/(?P<pk>\\d+)/(?P<s>\\w+)$', book)]\n"
    found = by_route(django_project(tmp_path, urls, shop__views=VIEWS))
    assert found["* /b/{pk}/{s}"].path_parameters == {"pk": "integer", "s": "string"}


def test_url_of_former_versions_is_a_regular_expression(tmp_path: Path) -> None:
    urls = """
    from django.conf.urls import url
    from shop import views
    urlpatterns = [url(r'^home/$', views.home), url(regex=r'^page/$', view=views.Page.as_view())]
    urlpatterns += [url(r'^s/$', 'shop.views.home')]
    """
    assert listed(django_project(tmp_path, urls, shop__views=VIEWS)) == [
        "* /home/",
        "GET /page/",
        "POST /page/",
        "* /s/",
    ]


@pytest.mark.parametrize(
    "what",
    [
        "'shop.urls'",
        "urls",
        "urls.urlpatterns",
        "[path('books/', views.home)]",
        "('shop.urls', 'shop')",
        "(urls, 'shop'), namespace='s'",
        "([path('books/', views.home)], 'shop')",
        "arg='shop.urls'",
        "extra",
    ],
)
def test_include_takes_a_name_a_module_or_a_list(tmp_path: Path, what: str) -> None:
    urls = f"""
    from shop import urls, views
    extra = [path("books/", views.home)]
    urlpatterns = [path("api/", include({what}))]
    """
    assert listed(django_project(tmp_path, urls, shop__urls=SHOP_URLS, shop__views=VIEWS)) == ["* /api/books/"]


def test_a_pattern_may_hold_patterns_with_a_namespace_without_include(tmp_path: Path) -> None:
    urls = "from shop import views\nurlpatterns = [path('a/', ([path('b/', views.home)], 'app', 'ns'))]\n"
    assert listed(django_project(tmp_path, urls, shop__views=VIEWS)) == ["* /a/b/"]


def test_lists_grow_by_plus_append_extend_insert_and_star(tmp_path: Path) -> None:
    urls = """
    from shop.views import home
    more = [path("star/", home)]
    urlpatterns = [path("a/", home), *more] + [path("plus/", home)]
    urlpatterns += [path("b/", home)]
    urlpatterns += path("c/", home),
    urlpatterns.append(path("d/", home))
    urlpatterns.extend([path("e/", home)])
    urlpatterns.insert(0, path("first/", home))
    if settings.DEBUG:
        urlpatterns += [path("debug/", home)]
    for name in ("x", "y"):
        urlpatterns.append(path(f"{name}/", home))
    """
    names = ["first", "a", "star", "plus", "b", "c", "d", "e", "debug", "x", "y"]
    assert listed(django_project(tmp_path, urls, shop__views=VIEWS)) == [f"* /{name}/" for name in names]


def test_prefixes_come_from_settings_and_constants(tmp_path: Path) -> None:
    urls = """
    from shop.views import home
    PREFIX = "v1/"
    urlpatterns = [path(settings.API_PREFIX + PREFIX, home), path(f"{settings.API_PREFIX}x/", home)]
    """
    base = "API_PREFIX = 'api/'\n"
    settings = "from .base import *\nROOT_URLCONF = 'config.urls'\n"
    folder = django_project(tmp_path, urls, shop__views=VIEWS, config__base=base, config__settings=settings)
    assert listed(folder) == ["* /api/v1/", "* /api/x/"]


@pytest.mark.parametrize(("option", "prefix"), [("", "/de/"), (", prefix_default_language=False", "/")])
def test_translated_patterns_begin_with_the_default_language(tmp_path: Path, option: str, prefix: str) -> None:
    urls = f"""
    from django.conf.urls.i18n import i18n_patterns
    from django.utils.translation import gettext_lazy as _
    from shop.views import home
    urlpatterns = [path("plain/", home)]
    urlpatterns += i18n_patterns(path(_("about/"), home), path("x/", include("shop.urls")){option})
    """
    settings = "ROOT_URLCONF = 'config.urls'\nLANGUAGE_CODE = 'de'\n"
    folder = django_project(tmp_path, urls, shop__views=VIEWS, shop__urls=SHOP_URLS, config__settings=settings)
    assert listed(folder) == ["* /plain/", f"* {prefix}about/", f"* {prefix}x/books/"]


def test_what_packages_bring_by_include_is_not_the_projects(tmp_path: Path) -> None:
    urls = """
    from django.conf.urls.static import static
    from django.contrib import admin
    from django.contrib.admin import AdminSite
    from django.contrib.staticfiles.urls import staticfiles_urlpatterns
    from django.views.static import serve
    from rest_framework.documentation import include_docs_urls
    from wagtail import urls as wagtail_urls
    from shop.views import home
    class Own(AdminSite): ...
    own = Own(name="own")
    urlpatterns = [
        path("admin/", admin.site.urls), path("own/", own.urls), path("old/", include(admin.site.urls)),
        path("accounts/", include("django.contrib.auth.urls")), path("auth/", include("djoser.urls.jwt")),
        path("cms/", include(wagtail_urls)), path("docs/", include_docs_urls(title="x")),
        re_path(r"^media/(?P<path>.*)$", serve), path("home/", home),
    ] + static(settings.MEDIA_URL, document_root="x") + staticfiles_urlpatterns()
    """
    assert listed(django_project(tmp_path, urls, shop__views=VIEWS)) == ["* /home/"]


def test_a_try_ends_at_the_include_of_a_module_that_is_not_there(tmp_path: Path) -> None:
    urls = """
    from shop.views import home
    urlpatterns = [path("a/", home)]
    try:
        import debug_toolbar
        urlpatterns.append(path("toolbar/", include("debug_toolbar.urls")))
        urlpatterns.append(path("shop/", include("shop.urls")))
        urlpatterns.append(path("api/", include("api.urls")))
        urlpatterns.append(path("never/", home))
    except ImportError:
        pass
    urlpatterns.append(path("b/", home))
    """
    folder = django_project(tmp_path, urls, shop__views=VIEWS, shop__urls=SHOP_URLS)
    assert listed(folder) == ["* /a/", "* /shop/books/", "* /b/"]


def test_patterns_pass_through_functions_and_methods(tmp_path: Path) -> None:
    urls = """
    from shop.views import home
    def with_docs(patterns):
        return patterns + [path("docs/", home)]
    class Toolbar:
        @staticmethod
        def add(patterns):
            return patterns + [path("static/", home)]
        @classmethod
        def more(cls, patterns):
            return patterns + [path("class/", home)]
    urlpatterns = Toolbar.more(Toolbar.add(with_docs([path("a/", home)])))
    """
    names = ["a", "docs", "static", "class"]
    assert listed(django_project(tmp_path, urls, shop__views=VIEWS)) == [f"* /{name}/" for name in names]


def test_configurations_that_include_each_other_come_to_an_end(tmp_path: Path) -> None:
    urls = "from shop.views import home\nurlpatterns = [path('a/', home), path('x/', include('config.urls'))]\n"
    found = listed(django_project(tmp_path, urls, shop__views=VIEWS))
    assert found[:3] == ["* /a/", "* /x/a/", "* /x/x/a/"]
    assert len(found) < 30


def test_the_first_of_two_patterns_answers(tmp_path: Path) -> None:
    urls = """
    from shop.views import home, Page
    urlpatterns = [path("a/", home), path("a/", Page.as_view())]
    """
    assert listed(django_project(tmp_path, urls, shop__views=VIEWS)) == ["* /a/"]


@pytest.mark.parametrize(
    "more",
    [
        "urlpatterns += build()",
        "urlpatterns.extend(build())",
        "urlpatterns = urlpatterns + build()",
        "urlpatterns += [path(n, v) for n, v in table()]",
        "for app in enabled():\n    urlpatterns.append(path(f'{app}/', include(f'{app}.urls')))",
        "urlpatterns.append(path('x/', include(build())))",
    ],
)
def test_patterns_that_are_only_known_at_run_time_are_named(tmp_path: Path, more: str) -> None:
    urls = f"from shop import views\nurlpatterns = [path('a/', views.home)]\n{more}\n"
    found = extract(django_project(tmp_path, urls, shop__views=VIEWS))
    assert [one.path for one in found.endpoints] == ["/a/"]
    assert any("not known from the source" in sentence for sentence in found.unread)
