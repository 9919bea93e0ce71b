"""The app. Its label is "steve"."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

from steve.contrib.django import _settings, tasks


class SteveConfig(AppConfig):
    name = "steve.contrib.django"
    label = "steve"
    verbose_name = "Background jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        autodiscover_modules("jobs", "tasks", *_settings.read().get("modules", ()))
        tasks.install()
