"""Tasks in a module that the autodiscovery does not import."""

from shop.api import task


@task
def send(name):
    return f"sent to {name}"


def plain(name):
    return name


alone = task(lambda: 1)
