from django.urls import path

from . import views

urlpatterns = [
    path("status/", views.status),
    path("", views.QuestionList.as_view()),
    path("<int:pk>/", views.QuestionDetail.as_view()),
    path("<int:pk>/vote/", views.VoteView.as_view()),
]
