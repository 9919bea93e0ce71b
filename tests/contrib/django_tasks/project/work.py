"""A worker process: `python work.py`, until it gets a signal."""

import os
import threading
import time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

import django

django.setup()

from steve.contrib.django import manager_for  # noqa: E402

if __name__ == "__main__":
    manager = manager_for()

    def say() -> None:
        while not manager.health().running:  # by then, signals are heard
            time.sleep(0.01)
        print("working", flush=True)

    threading.Thread(target=say, daemon=True).start()
    manager.run(2)
