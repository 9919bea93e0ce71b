"""What tests of a project see. tests/contrib/django/test_projects_tests.py runs them, with both runners of tests."""

import threading
import time
from datetime import timedelta
from uuid import uuid4

from django.contrib.auth.models import Permission, User
from django.core.cache import caches
from django.db import connection, connections, reset_queries, transaction
from django.test import TestCase, TransactionTestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from shop.jobs import send
from shop.models import Order
from steve import NotPossible
from steve.contrib.django import manager, manager_for
from steve.contrib.django.models import Attempt, Job


def until(predicate, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain")
        time.sleep(0.01)
    return value


def sessions_of_others():
    with connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from pg_catalog.pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"
        )
        return cursor.fetchone()[0]


class JobsOfTestCase(TestCase):
    def test_a_job_is_stored_in_the_test_database(self):
        self.assertTrue(connection.settings_dict["NAME"].startswith("test_"))
        with self.assertNumQueries(1):
            job = manager.create("ship", {"order": 1})
        self.assertEqual(Job.objects.get().uid, job.uid)
        self.assertEqual(manager.find(job).status, "pending")
        self.assertEqual([one.uid for one in manager.fetch_all()], [job.uid])

    def test_a_connection_of_steves_own_leads_to_the_test_database(self):
        job = manager.create("ship", {"order": 1}, connection=None)
        self.assertEqual(Job.objects.get().uid, job.uid)
        self.assertIsNotNone(manager.cancel(job, connection=None))
        manager.delete(job, connection=None)

    def test_a_job_is_rolled_back_with_the_transaction_that_created_it(self):
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            kept = manager.create("ship", {"order": 1})
            1 / 0  # noqa: B018
        self.assertIsNone(manager.find(kept))
        self.assertEqual(Job.objects.count(), 0)

    def test_the_calls_of_a_task_and_of_many_jobs_are_part_of_the_transaction(self):
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            send.create(1)
            send.create_many([(2,), (3,)])
            manager.create_many([("ship", {"order": 4})])
            self.assertEqual(Job.objects.filter(queue="mail").count(), 3)
            1 / 0  # noqa: B018
        self.assertEqual(Job.objects.count(), 0)

    def test_jobs_can_be_controlled_within_the_transaction(self):
        job = manager.create("ship", {"order": 1})
        later = timezone.now() + timedelta(days=1)
        self.assertEqual(manager.reschedule(job, run_at=later).run_at, later)
        self.assertEqual(manager.set_priority(job, 7).priority, 7)
        self.assertEqual(manager.cancel(job).status, "cancelled")
        self.assertEqual(manager.retry(job).status, "pending")
        self.assertEqual(manager.cancel_all(type="ship").done, 1)
        self.assertEqual(manager.retry_all(type="ship").done, 1)
        with self.assertRaises(NotPossible):
            manager.delete(job)
        manager.cancel(job)
        self.assertEqual((manager.history(job), manager.logs(job)), ([], []))
        self.assertEqual(manager.delete_all(type="ship").done, 1)

    def test_there_is_one_manager_for_a_database_and_a_schema(self):
        found = []
        thread = threading.Thread(target=lambda: found.append(manager_for()))
        thread.start()
        thread.join()
        self.assertIs(found[0], manager_for())
        self.assertIs(manager_for("default"), manager_for())
        with override_settings(STEVE={"schema": "other"}):
            self.assertIsNot(manager_for(), found[0])

    def test_models_only_read(self):
        job = manager.create("ship", {"order": 1}, tags={"tenant": "acme"})
        one = Job.objects.get(tags__contains={"tenant": "acme"})
        self.assertEqual((str(one), one.payload), (f"ship {job.uid}", {"order": 1}))
        self.assertEqual(list(Attempt.objects.filter(job=one)), [])
        for write in (
            one.save,
            one.delete,
            lambda: Job.objects.create(uid=uuid4()),
            lambda: Job.objects.update(priority=1),
            lambda: Job.objects.all().delete(),
            lambda: Job.objects.bulk_create([Job(uid=uuid4())]),
            lambda: Job.objects.get_or_create(uid=uuid4()),
            lambda: Attempt.objects.all().delete(),
        ):
            with self.assertRaisesRegex(TypeError, "cannot change jobs: call the manager"):
                write()

    def test_a_job_that_the_test_runs_itself_leaves_its_connection_alone(self):
        """Its hooks run on the test's thread, whose connection is in the middle of a transaction."""
        with CaptureQueriesContext(connection) as queries:
            Order.objects.count()
            with manager.around_listener(lambda job: None):
                from steve.contrib.django import _around

                with _around._around_call(None):
                    Order.objects.count()
        self.assertEqual(len(queries), 2)


class JobsOfWorkers(TransactionTestCase):
    def tearDown(self):
        manager.stop()
        manager.delete_all(status="completed")
        manager.delete_all(status="failed")

    def test_a_worker_does_what_was_committed_and_leaves_no_connection(self):
        order = Order.objects.create(name="tea")
        seen = []
        with manager.on_done("ship", lambda job: seen.append(Order.objects.get(pk=job.payload["order"]).shipped)):
            manager.start(3)
            with transaction.atomic():
                jobs = manager.create_many([("ship", {"order": order.pk})] * 20)
            manager.wait_all(jobs)
            manager.stop()
        order.refresh_from_db()
        self.assertEqual((order.shipped, len(seen)), (20, 20))
        kept = 6 if connection.settings_dict["OPTIONS"].get("pool") else 0  # a pool keeps its connections
        deadline = time.monotonic() + 30
        while (count := sessions_of_others()) > kept and time.monotonic() < deadline:
            time.sleep(0.01)  # a server's process outlives its connection for a moment
        self.assertLessEqual(count, kept)

    @override_settings(DEBUG=True)
    def test_each_job_begins_with_no_queries_in_the_log_and_ends_with_the_thread_s_caches_closed(self):
        lengths, closed, used = [], [], []

        def look(job):
            lengths.append(len(connection.queries))
            Order.objects.count()
            cache = caches["default"]
            used.append(cache)
            cache.close = lambda **options: closed.append(job.uid)

        manager.set_handler("look", look)
        manager.start(1)
        jobs = manager.create_many([("look", {})] * 3)
        manager.wait_all(jobs)
        manager.stop()
        manager.set_handler("look", None)
        reset_queries()
        self.assertEqual(lengths, [0, 0, 0])
        self.assertEqual(closed, [job.uid for job in jobs])
        self.assertTrue(all(cache is used[0] for cache in used), "a cache keeps its connections from job to job")

    def test_a_handler_that_broke_its_connection_harms_no_other(self):
        def broken(job):
            with connection.cursor() as cursor:
                cursor.execute("select pg_terminate_backend(pg_backend_pid())")

        manager.set_handler("break", broken, max_attempts=1)
        order = Order.objects.create(name="tea")
        manager.start(1)
        bad = manager.create("break", {}, max_attempts=1)
        self.assertEqual(manager.wait(bad).status, "failed")
        self.assertEqual(manager.wait(manager.create("ship", {"order": order.pk})).status, "completed")
        manager.stop()
        manager.set_handler("break", None)

    def test_connections_that_a_test_leaves_open_are_closed_at_its_database_s_end(self):
        """Nothing to assert: PostgreSQL refuses to drop the database if somebody is connected to it."""
        manager.create("nobody", {}, connection=None)
        manager.delete_all(type="nobody", status="completed")
        manager.cancel_all(type="nobody", connection=None)


class JobsInTheAdmin(TestCase):
    def setUp(self):
        self.client.force_login(User.objects.create_superuser("ada"))
        self.jobs = manager.create_many(
            [("ship", {"order": 1})] * 3 + [("mail", {"to": "x"})], queue="q", tags={"tenant": "acme"}
        )
        manager.cancel(self.jobs[1])

    def page(self, **query):
        return self.client.get(reverse("admin:steve_job_changelist"), query)

    def test_the_list_filters_and_never_counts_the_table(self):
        with CaptureQueriesContext(connection) as queries:
            page = self.page()
        self.assertContains(page, "4 jobs")
        texts = [query["sql"] for query in queries]
        self.assertEqual([text for text in texts if "COUNT(" in text.upper() and '"job"' in text], [])
        for query, found in (
            ({"status": "cancelled"}, 1),
            ({"type": "mail"}, 1),
            ({"queue": "q"}, 4),
            ({"queue": "other"}, 0),
            ({"q": str(self.jobs[0].uid)}, 1),
            ({"q": "mail"}, 1),
            ({"q": "tenant=acme"}, 4),
            ({"q": "tenant=other"}, 0),
        ):
            with self.subTest(query):
                self.assertEqual(self.page(**query).context["cl"].result_count, found)

    def act(self, action, *jobs, **more):
        data = {"action": action, "_selected_action": [str(job.uid) for job in jobs], **more}
        return self.client.post(reverse("admin:steve_job_changelist"), data, follow=True)

    def test_actions_cancel_retry_and_reschedule(self):
        first, cancelled = self.jobs[0], self.jobs[1]
        self.assertContains(self.act("cancel_jobs", first, cancelled), "1 job was cancelled.")
        self.assertEqual(manager.find(first).status, "cancelled")
        self.assertContains(self.act("retry_jobs", first, cancelled), "2 jobs were retried.")
        self.assertEqual(manager.find(cancelled).status, "pending")
        self.assertContains(self.act("reschedule_jobs", first), "Say when to run the jobs")
        self.assertContains(self.act("reschedule_jobs", first, run_at="2039-01-31 14:30"), "1 job was rescheduled.")
        self.assertEqual(manager.find(first).run_at.year, 2039)
        with connection.cursor() as cursor:
            cursor.execute("select distinct actor, action from steve.audit order by 2")
            self.assertEqual(cursor.fetchall(), [("ada", "cancel"), ("ada", "reschedule"), ("ada", "retry")])

    def test_the_page_of_a_job_shows_it_and_has_the_same_as_buttons(self):
        job = self.jobs[0]
        url = reverse("admin:steve_job_change", args=[job.uid])
        self.assertContains(self.client.get(url), "no lines are kept")
        for button, status in (({"_cancel": "1"}, "cancelled"), ({"_retry": "1"}, "pending"), ({"_cancel": "1"}, "cancelled")):
            page = self.client.post(url, button, follow=True)
            self.assertEqual(page.status_code, 200)
            self.assertEqual(manager.find(job).status, status)
        self.assertContains(self.client.post(url, {"_cancel": "1"}, follow=True), "not cancelled; the first:")
        self.assertNotContains(self.client.post(url, {"_retry": "1"}, follow=True), "changed successfully")
        self.assertContains(
            self.client.post(url, {"_reschedule": "1", "run_at": "2039-01-31 14:30"}, follow=True), "rescheduled"
        )

    def test_who_may_only_look_changes_nothing(self):
        viewer = User.objects.create_user("eve", is_staff=True)
        viewer.user_permissions.add(Permission.objects.get(codename="view_job"))
        self.client.force_login(viewer)
        self.assertEqual(self.page().status_code, 200)
        url = reverse("admin:steve_job_change", args=[self.jobs[0].uid])
        self.assertNotContains(self.client.get(url), "_cancel")
        self.assertEqual(self.client.post(url, {"_cancel": "1"}).status_code, 403)
        self.act("cancel_jobs", self.jobs[0])
        self.assertEqual(manager.find(self.jobs[0]).status, "pending")
        self.assertEqual(self.client.get(reverse("admin:steve_job_add")).status_code, 403)
        self.assertEqual(self.client.get(reverse("admin:steve_job_delete", args=[self.jobs[0].uid])).status_code, 403)

    def test_a_list_that_is_too_long_is_counted_no_further(self):
        from steve.contrib.django import admin

        admin.MOST, before = 2, admin.MOST
        try:
            page = self.page()
            self.assertContains(page, "2+ jobs")
            self.assertContains(self.act("retry_jobs", *self.jobs[:3]), "At most 2 jobs at a time")
        finally:
            admin.MOST = before


class ZLast(TransactionTestCase):
    def test_a_manager_that_is_left_running_is_stopped_with_its_database(self):
        order = Order.objects.create(name="tea")
        manager.start(1)
        self.assertEqual(manager.wait(manager.create("ship", {"order": order.pk})).status, "completed")
        Thread = threading.Thread  # a thread of the project's that leaves Django's connection open is not steve's business
        thread = Thread(target=lambda: (Order.objects.count(), connections.close_all()))
        thread.start()
        thread.join()
