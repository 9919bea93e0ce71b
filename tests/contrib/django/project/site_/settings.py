"""The settings of the tests' project. What a test wants otherwise it says as JSON in DJANGO_TEST_SETTINGS."""

import json
import os
from pathlib import Path

given = json.loads(os.environ.get("DJANGO_TEST_SETTINGS", "{}"))

SECRET_KEY = "for tests"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
BASE_DIR = Path(__file__).parent.parent
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["DJANGO_TEST_HOST"],
        "PORT": os.environ["DJANGO_TEST_PORT"],
        "USER": os.environ.get("DJANGO_TEST_USER", "postgres"),
        "NAME": os.environ["DJANGO_TEST_NAME"],
        "OPTIONS": {},
        "TEST": {},
    }
}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "shop",
    "steve.contrib.django",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "site_.urls"
WSGI_APPLICATION = "site_.wsgi.application"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STEVE = {}

for _database, _changes in given.pop("databases", {}).items():
    DATABASES[_database] = {**DATABASES["default"], **_changes}
globals().update(given)
