"""SteveBackend in a real Django project, on Django 6.1, on 6.0, and on 5.2 with the package django-tasks.

environments.py makes an environment for each version, once. test_on_django.py has Django's test runner run the cases of
`project/` there, and the worker processes. The cases are those that Django's own tests and those of other backends ask of a
backend, and what only steve does: retries, rescue, threads.
"""
