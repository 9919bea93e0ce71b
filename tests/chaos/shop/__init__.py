"""A Django project, and the processes of it that the chaos starts, with the Python of an environment that has Django 6."""
