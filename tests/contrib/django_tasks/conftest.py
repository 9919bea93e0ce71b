"""Django's own runner runs the cases of the project: see test_on_django.py."""

collect_ignore = ["project"]
