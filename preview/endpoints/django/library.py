"""Views that packages define and projects use by name, with the methods that they answer.

The tables map a package's name to its classes and functions. They come from Django 5.2, djangorestframework 3.18,
djoser 2.3, djangorestframework-simplejwt 5.5, drf-spectacular 0.30, drf-yasg 1.21, dj-rest-auth 7.2, django-allauth
65.21, django-rest-knox 5.1, django-oauth-toolkit 3.4, django-filter 26.2 and django-tables2 3.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_FORM = "get post put"
_ALL = "get post put patch delete"


def _each(names: str, methods: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), methods)


HANDLERS: Final[Mapping[str, Mapping[str, str]]] = {
    "django": {
        **_each(
            "TemplateView ListView DetailView ArchiveIndexView YearArchiveView MonthArchiveView WeekArchiveView "
            "DayArchiveView TodayArchiveView DateDetailView BaseListView BaseDetailView BaseArchiveIndexView "
            "BaseYearArchiveView BaseMonthArchiveView BaseDayArchiveView BaseTodayArchiveView BaseDateListView "
            "BaseDateDetailView PasswordChangeDoneView PasswordResetCompleteView PasswordResetDoneView "
            "JavaScriptCatalog JSONCatalog",
            "get",
        ),
        **_each(
            "FormView CreateView UpdateView BaseFormView BaseCreateView BaseUpdateView ProcessFormView LoginView "
            "PasswordChangeView PasswordResetView PasswordResetConfirmView",
            _FORM,
        ),
        "DeleteView": "get post delete",
        "BaseDeleteView": "get post delete",
        "DeletionMixin": "post delete",
        "RedirectView": _ALL,
        "LogoutView": "get post",
    },
    "rest_framework": {
        "CreateAPIView": "post",
        "ListAPIView": "get",
        "RetrieveAPIView": "get",
        "DestroyAPIView": "delete",
        "UpdateAPIView": "put patch",
        "ListCreateAPIView": "get post",
        "RetrieveUpdateAPIView": "get put patch",
        "RetrieveDestroyAPIView": "get delete",
        "RetrieveUpdateDestroyAPIView": "get put patch delete",
        "ObtainAuthToken": "post",
        "obtain_auth_token": "post",
        "SchemaView": "get",
        "APIRootView": "get",
        "get_schema_view": "get",
    },
    "rest_framework_simplejwt": _each(
        "TokenObtainPairView TokenRefreshView TokenVerifyView TokenBlacklistView TokenObtainSlidingView "
        "TokenRefreshSlidingView TokenViewBase token_obtain_pair token_refresh token_verify token_blacklist "
        "token_obtain_sliding token_refresh_sliding",
        "post",
    ),
    "rest_framework_jwt": _each(
        "JSONWebTokenAPIView ObtainJSONWebToken VerifyJSONWebToken RefreshJSONWebToken obtain_jwt_token "
        "refresh_jwt_token verify_jwt_token ObtainJSONWebTokenView RefreshJSONWebTokenView VerifyJSONWebTokenView",
        "post",
    ),
    "drf_spectacular": {
        **_each(
            "SpectacularAPIView SpectacularJSONAPIView SpectacularYAMLAPIView SpectacularRedocView "
            "SpectacularSwaggerView SpectacularSwaggerSplitView",
            "get",
        ),
        "SpectacularSwaggerOauthRedirectView": _ALL,
    },
    "drf_yasg": {"get_schema_view": "get", "SchemaView": "get"},
    "rest_framework_swagger": {"get_swagger_view": "get"},
    "dj_rest_auth": {
        **_each(
            "LoginView PasswordChangeView PasswordResetView PasswordResetConfirmView RegisterView SocialLoginView "
            "SocialConnectView SocialAccountDisconnectView ResendEmailVerificationView",
            "post",
        ),
        "LogoutView": "get post",
        "VerifyEmailView": "get post",
        "UserDetailsView": "get put patch",
        "SocialAccountListView": "get",
    },
    "djoser": {"TokenCreateView": "post", "TokenDestroyView": "post", "ProviderAuthView": "get post"},
    "knox": _each("LoginView LogoutView LogoutAllView", "post"),
    "allauth": {
        **_each(
            "LoginView SignupView EmailView PasswordChangeView PasswordSetView PasswordResetView ConnectionsView "
            "PasswordResetFromKeyView ReauthenticateView RequestLoginCodeView ConfirmLoginCodeView login signup "
            "email password_change password_set password_reset password_reset_from_key connections reauthenticate",
            _FORM,
        ),
        **_each(
            "AccountInactiveView EmailVerificationSentView LoginCancelledView LoginErrorView "
            "PasswordResetDoneView PasswordResetFromKeyDoneView account_inactive password_reset_done "
            "password_reset_from_key_done",
            "get",
        ),
        **_each("LogoutView ConfirmEmailView logout confirm_email", "get post"),
    },
    "oauth2_provider": {
        **_each("TokenView RevokeTokenView DeviceAuthorizationView", "post"),
        **_each("ConnectDiscoveryInfoView JwksInfoView ApplicationList ApplicationDetail", "get"),
        **_each("IntrospectTokenView UserInfoView", "get post"),
        **_each("AuthorizationView ApplicationRegistration ApplicationUpdate", _FORM),
        "ApplicationDelete": "get post delete",
    },
    "django_filters": {"FilterView": "get", "BaseFilterView": "get"},
    "django_tables2": {"SingleTableView": "get"},
}

# The actions of ViewSets and their mixins, for which routers create routes.
_EVERY = "list create retrieve update partial_update destroy"
ACTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "rest_framework": {
        "CreateModelMixin": "create",
        "ListModelMixin": "list",
        "RetrieveModelMixin": "retrieve",
        "DestroyModelMixin": "destroy",
        "UpdateModelMixin": "update partial_update",
        "ModelViewSet": _EVERY,
        "ReadOnlyModelViewSet": "list retrieve",
    },
    "djoser": {"UserViewSet": _EVERY},
    "rest_framework_gis": {},
}


# Djoser's own actions: name, path, methods. ``{username}`` is the user model's USERNAME_FIELD.
DJOSER_ACTIONS: Final = (
    ("activation", "activation", "post"),
    ("me", "me", "get put patch delete"),
    ("resend_activation", "resend_activation", "post"),
    ("reset_password", "reset_password", "post"),
    ("reset_password_confirm", "reset_password_confirm", "post"),
    ("reset_username", "reset_{username}", "post"),
    ("reset_username_confirm", "reset_{username}_confirm", "post"),
    ("set_password", "set_password", "post"),
    ("set_username", "set_{username}", "post"),
)

# Classes that refuse some of their methods since a major version of Django.
METHOD_NAMES: Final[Mapping[tuple[str, str], tuple[int, str]]] = {("django", "LogoutView"): (5, "post")}

_SAME: Final = {"rest_auth": "dj_rest_auth", "rest_framework_nested": "rest_framework"}


def package_of(name: str) -> str:
    """Return the package that a full name begins with; a former package name maps to the present one."""
    top = name.partition(".")[0]
    return _SAME.get(top, top)


def handlers_of(name: str) -> tuple[str, ...]:
    """Return the HTTP methods, in lower case, that a package's view answers; empty if unknown."""
    known = HANDLERS.get(package_of(name), {})
    return tuple(known.get(name.rpartition(".")[2], "").split())
