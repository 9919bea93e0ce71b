"""`steve.testing` in a small project of Django: TestCase and TransactionTestCase with `manage.py test`, and with pytest-django.

The project runs in processes of its own, twice: what its tests say is what is checked here.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.docs.pages import how_to

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parent.parent.parent

SETTINGS = """
    DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", **%(database)r, "TEST": {"NAME": %(name)r}}}
    INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "steve.contrib.django", "shop"]
    SECRET_KEY = "x"
    USE_TZ = True
    ROOT_URLCONF = "shop.urls"
    ALLOWED_HOSTS = ["*"]
    DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""

MODELS = """
    from django.db import models


    class Order(models.Model):
        email = models.EmailField(unique=True)
        confirmed = models.BooleanField(default=False)
"""

URLS = """
    from django.http import HttpResponse
    from django.urls import path

    from shop.models import Order
    from steve.contrib.django import manager


    def order(request):
        Order.objects.create(email=request.POST["email"])
        manager.create("confirm", {"email": request.POST["email"]})
        return HttpResponse(status=201)


    urlpatterns = [path("orders", order)]
"""

JOBS = """
    from django.db import transaction

    from shop.models import Order
    from steve.contrib.django import manager

    seen = []


    @manager.handler("confirm")
    def confirm(job):
        with transaction.atomic(durable=True):
            order = Order.objects.get(email=job.payload["email"])
            order.confirmed = True
            order.save()
            transaction.on_commit(lambda: manager.create("mail", {"to": order.email}))
        return {"order": order.pk}


    @manager.handler("mail")
    def mail(job):
        seen.append(job.payload["to"])


    @manager.handler("twice", max_attempts=1)
    def twice(job):
        Order.objects.create(email=job.payload["email"])
        Order.objects.create(email=job.payload["email"])  # violates the unique constraint


    @manager.handler("partly", max_attempts=1)
    def partly(job):
        Order.objects.create(email=job.payload["email"])
        try:
            with transaction.atomic():
                Order.objects.create(email=job.payload["email"])
        finally:
            transaction.on_commit(lambda: seen.append("after"))


    @manager.handler("unfinished", max_attempts=1)
    def unfinished(job):
        with transaction.atomic():
            transaction.on_commit(lambda: seen.append("never"))
            raise RuntimeError("the block is rolled back")


    @manager.handler("marked", max_attempts=1)
    def marked(job):
        transaction.set_rollback(True)
"""

TESTS = """
    from django.db import IntegrityError, connection, transaction
    from django.test import TestCase, TransactionTestCase

    from shop import jobs
    from shop.models import Order
    from steve.contrib.django import manager
    from steve.testing import assert_enqueued, drain, enqueued, perform
    from steve.testing.django import SteveTestCaseMixin


    class InATransaction(SteveTestCaseMixin, TestCase):
        def setUp(self):
            jobs.seen.clear()

        def test_a_job_sees_the_rows_of_the_test(self):
            order = Order.objects.create(email="ada@example.com")
            manager.create("confirm", {"email": "ada@example.com"})
            self.assert_enqueued("confirm", {"email": "ada@example.com"})
            first, second = self.drain()
            self.assertEqual(first.job.result, {"order": order.pk})
            order.refresh_from_db()
            self.assertTrue(order.confirmed)
            self.assertEqual((second.type, jobs.seen), ("mail", ["ada@example.com"]))
            self.assertEqual(manager.find(first.job).status, "completed")

        def test_nothing_is_left_of_other_tests(self):
            self.assertEqual(self.enqueued(), [])
            self.assertEqual(Order.objects.count(), 0)

        def test_drain_uses_djangos_connection_without_being_told(self):
            manager.create("mail", {"to": "eve@example.com"})
            assert_enqueued(manager, "mail")
            self.assertEqual(len(drain(manager)), 1)
            self.assertEqual(enqueued(manager, connection=None), [])

        def test_what_the_test_does_after_its_commit_is_done_first(self):
            with transaction.atomic():
                transaction.on_commit(lambda: manager.create("mail", {"to": "bob@example.com"}))
            self.refute_enqueued("mail")
            self.drain()
            self.assertEqual(jobs.seen, ["bob@example.com"])

        def test_a_statement_that_fails_is_undone_and_the_test_goes_on(self):
            manager.create("twice", {"email": "eve@example.com"})
            manager.create("mail", {"to": "bob@example.com"})
            with self.assertRaises(IntegrityError):
                self.drain()
            self.drain()
            self.assertEqual(Order.objects.count(), 0)
            self.assertEqual(jobs.seen, ["bob@example.com"])

        def test_a_block_that_rolls_back_leaves_the_rest(self):
            manager.create("partly", {"email": "eve@example.com"})
            (ran,) = self.drain(raise_errors=False)
            self.assertIsInstance(ran.error, IntegrityError)
            self.assertEqual(Order.objects.count(), 1)
            self.assertEqual(jobs.seen, ["after"])

        def test_what_a_rolled_back_block_wanted_after_its_commit_is_not_done(self):
            manager.create("unfinished")
            with self.assertRaises(RuntimeError):
                self.drain()
            self.assertEqual(jobs.seen, [])

        def test_a_transaction_that_is_marked_for_rollback_can_be_used_again(self):
            manager.create("marked")
            (ran,) = self.drain()
            self.assertEqual(ran.status, "completed")
            self.assertEqual(Order.objects.count(), 0)

        def test_a_handler_alone_has_the_database_of_the_test(self):
            order = Order.objects.create(email="ada@example.com")
            self.assertEqual(self.perform("confirm", {"email": "ada@example.com"}), {"order": order.pk})

        def test_the_connection_stays_the_same(self):
            before = connection.connection
            manager.create("mail", {"to": "bob@example.com"})
            self.drain()
            self.assertIs(connection.connection, before)
            self.assertTrue(connection.in_atomic_block)


    class WithCommits(SteveTestCaseMixin, TransactionTestCase):
        def test_jobs_are_drained_where_each_statement_is_committed(self):
            Order.objects.create(email="ada@example.com")
            manager.create("confirm", {"email": "ada@example.com"})
            self.assertEqual(len(self.drain()), 2)
            self.assertEqual(len(manager.fetch_all("completed", connection=None)), 2)

        def test_the_tables_are_empty_again_one(self):
            self.assertEqual(manager.fetch_all(), [])
            manager.create("mail", {"to": "bob@example.com"})

        def test_the_tables_are_empty_again_two(self):
            self.assertEqual(manager.fetch_all(), [])
            manager.create("mail", {"to": "bob@example.com"})

        def test_a_worker_of_the_manager(self):
            manager.start(1)
            job = manager.create("mail", {"to": "bob@example.com"})
            self.assertEqual(manager.wait(job, timeout=20).status, "completed")
"""

PYTEST_TESTS = """
    import pytest

    from shop.models import Order
    from steve.contrib.django import manager
    from steve.testing import drain


    def test_the_manager_is_the_projects_and_brings_the_database(steve_manager, steve_drain):
        Order.objects.create(email="ada@example.com")
        steve_manager.create("confirm", {"email": "ada@example.com"})
        assert [ran.type for ran in steve_drain()] == ["confirm", "mail"]
        assert steve_manager.fetch_all(connection=None) == []


    @pytest.mark.django_db
    def test_a_marked_test_drains_too():
        assert manager.fetch_all() == []
        manager.create("mail", {"to": "bob@example.com"})
        assert len(drain(manager)) == 1


    @pytest.mark.parametrize("number", [1, 2])
    def test_after_a_test_that_commits_the_tables_are_empty(transactional_db, number):
        assert manager.fetch_all(connection=None) == []
        manager.create("mail", {"to": "bob@example.com"})


    @pytest.mark.parametrize("number", [1, 2])
    @pytest.mark.django_db(transaction=True)
    def test_after_a_marked_test_that_commits_too(number):
        assert manager.fetch_all(connection=None) == []
        manager.create("mail", {"to": "bob@example.com"})


    def test_the_manager_in_a_test_that_commits(transactional_db, steve_manager, steve_drain):
        assert steve_manager.fetch_all() == []
        steve_manager.create("mail", {"to": "bob@example.com"})
        assert len(steve_drain()) == 1
        assert len(steve_manager.fetch_all(connection=None)) == 1


    def test_a_test_without_the_database_is_left_alone():
        pass
"""


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Path:
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    parts = conninfo_to_dict(database_url)
    database = {ours: parts.pop(theirs) for theirs, ours in names.items() if theirs in parts} | {"OPTIONS": parts}
    name = f"test_{uuid4().hex[:12]}"
    files = {
        "shop/__init__.py": "",
        "shop/settings.py": SETTINGS % {"database": database, "name": name},
        "shop/models.py": MODELS,
        "shop/urls.py": URLS,
        "shop/test_of_the_page.py": next(block.text for block in how_to("testing").blocks if block.file == "shop/tests.py"),
        "shop/jobs.py": JOBS,
        "shop/tests.py": TESTS,
        "shop/test_with_pytest.py": PYTEST_TESTS,
        "manage.py": """
            import sys

            from django.core.management import execute_from_command_line

            execute_from_command_line(sys.argv)
        """,
        "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = shop.settings\npython_files = tests.py test_*.py\n",
    }
    for path, text in files.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    return tmp_path


def run(project: Path, *command: str) -> str:
    environment = os.environ | {"PYTHONPATH": f"{project}:{ROOT}", "DJANGO_SETTINGS_MODULE": "shop.settings"}
    process = subprocess.run(
        [sys.executable, *command], cwd=project, env=environment, capture_output=True, text=True, timeout=400
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout + process.stderr


def databases_named(conn: psycopg.Connection, project: Path) -> int:
    name = (project / "shop/settings.py").read_text().split('"TEST": {"NAME": ')[1].split("'")[1]
    query = sql.SQL("select count(*) from pg_database where datname = {}").format(name)
    (number,) = conn.execute(query).fetchone() or (0,)
    return int(number)


def test_djangos_test_cases_drain(project: Path, conn: psycopg.Connection) -> None:
    written = run(project, "manage.py", "test", "shop", "--noinput")
    assert "Ran 15 tests" in written
    assert "OK" in written
    assert databases_named(conn, project) == 0, "the test database could be dropped"


def test_djangos_test_cases_and_functions_drain_under_pytest(project: Path, conn: psycopg.Connection) -> None:
    written = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly")
    assert "23 passed" in written
    assert databases_named(conn, project) == 0
