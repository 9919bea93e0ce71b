"""The app. Its label is "steve"."""

from __future__ import annotations

from django.apps import AppConfig


class SteveConfig(AppConfig):
    name = "steve.contrib.django"
    label = "steve"
    verbose_name = "Background jobs"
    default_auto_field = "django.db.models.BigAutoField"
