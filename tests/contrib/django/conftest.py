from collections.abc import Iterator

import pytest

from tests.contrib.django.projects import Project, project


@pytest.fixture(scope="module")
def module_project(database_url: str) -> Iterator[Project]:
    with project(database_url) as one:
        yield one


@pytest.fixture
def shop(module_project: Project) -> Iterator[Project]:
    """The project, with tables and without jobs; its processes end with the test."""
    yield module_project
    module_project.end()
    module_project.execute("truncate steve.job, steve.attempt, steve.process, shop_order")
