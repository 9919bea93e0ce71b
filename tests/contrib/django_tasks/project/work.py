"""A worker process: `python work.py`, until it gets a signal."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

import django

django.setup()

from steve.contrib.django import manager_for  # noqa: E402

if __name__ == "__main__":
    manager = manager_for()
    manager.start(2)
    print("working", flush=True)
    manager.run(2)
