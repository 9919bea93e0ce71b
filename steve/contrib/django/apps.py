"""The app. Its label is "steve"."""

from __future__ import annotations

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules

from steve.contrib.django import _settings, tasks
from steve.contrib.django._schema import create_missing
from steve.contrib.django._teardown import watch


class SteveConfig(AppConfig):
    name = "steve.contrib.django"
    label = "steve"
    verbose_name = "Background jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import the modules with handlers: in web processes, too, which create jobs with what their handlers say of them, a
        queue for example."""
        post_migrate.connect(create_missing, sender=self, dispatch_uid="steve")
        for alias in connections:
            if connections[alias].vendor == "postgresql":
                watch(alias)
        autodiscover_modules("jobs", "tasks", *_settings.read().get("modules", ()))
        tasks.install()
