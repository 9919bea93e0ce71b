"""The project. The variables of libpq name the server, and SHOP_DATABASE the database, which is the test's own."""

import os

SECRET_KEY = "for tests"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["SHOP_DATABASE"],
        "TEST": {"NAME": os.environ["SHOP_DATABASE"]},
    }
}
try:
    import django_tasks  # noqa: F401

    BACKPORT = ["django_tasks"]
except ImportError:
    BACKPORT = []
INSTALLED_APPS = [*BACKPORT, "steve.contrib.django", "shop"]
TASKS = {
    "default": {"BACKEND": "steve.contrib.django.SteveBackend", "QUEUES": ["default", "mail"]},
    "any": {"BACKEND": "steve.contrib.django.SteveBackend", "QUEUES": []},
    "configured": {
        "BACKEND": "steve.contrib.django.SteveBackend",
        "OPTIONS": {"tasks": {"shop.tasks.add": {"max_attempts": 9, "timeout": 30}}},
    },
    "immediate": {"BACKEND": "steve.contrib.django.ImmediateBackend", "QUEUES": []},
    "dummy": {"BACKEND": "steve.contrib.django.DummyBackend", "QUEUES": []},
}
STEVE = {"poll_interval": 0.05, "heartbeat": 0.2, "lease": 1.0, "workers": 2}
LOGGING_CONFIG = None
