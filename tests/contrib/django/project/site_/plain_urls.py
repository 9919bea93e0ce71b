"""Without the admin, for settings without its apps."""

from steve.contrib.django import manager

assert manager
urlpatterns = []
