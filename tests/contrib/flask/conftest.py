from collections.abc import Iterator

import pytest

from tests.contrib.flask.projects import FlaskProject, project


@pytest.fixture(scope="module")
def module_project(database_url: str) -> Iterator[FlaskProject]:
    with project(database_url) as one:
        yield one


@pytest.fixture
def shop(module_project: FlaskProject) -> Iterator[FlaskProject]:
    """The project, with tables and without jobs; its processes end with the test."""
    yield module_project
    module_project.end()
    module_project.execute("truncate steve.job, steve.attempt, steve.process, shop_order")
