"""Enqueueing: what Django's own tests and those of other backends ask for, and the transaction."""

import pickle
import queue
import uuid
from datetime import UTC, datetime, timedelta
from unittest import skipIf

import django
from asgiref.sync import async_to_sync
from django.db import connection, connections, transaction
from django.test import override_settings
from django.utils import timezone
from shop import odd, tasks
from shop.api import (
    LOGGER,
    InvalidTask,
    InvalidTaskBackend,
    Task,
    TaskResultMismatch,
    TaskResultStatus,
    default_task_backend,
    task,
    task_enqueued,
)

from cases import Case, backend
from steve import InvalidJob
from steve.contrib.django import SteveBackend, SteveTask, manager_for


class Declared(Case):
    def test_the_backend_is_the_one_of_the_settings(self):
        self.assertIsInstance(backend(), SteveBackend)
        self.assertEqual(default_task_backend.alias, "default")
        self.assertEqual(default_task_backend.options, {})
        for name in ("defer", "async_task", "get_result", "priority"):
            self.assertIs(getattr(default_task_backend, f"supports_{name}"), True)

    def test_a_decorated_function_is_a_task_of_steve(self):
        for one in (tasks.nothing, tasks.bare, tasks.nothing_async, odd.send):
            with self.subTest(one):
                self.assertIsInstance(one, SteveTask)
                self.assertIsInstance(one, Task)
        self.assertEqual(tasks.nothing.name, "nothing")
        self.assertEqual(tasks.nothing.module_path, "shop.tasks.nothing")

    def test_a_task_can_be_called_at_once(self):
        self.assertEqual(tasks.add.call(1, 2), 3)
        self.assertEqual(tasks.add_async.call(1, 2), 3)
        self.assertEqual(async_to_sync(tasks.add.acall)(1, 2), 3)
        self.assertEqual(async_to_sync(tasks.add_async.acall)(1, 2), 3)

    def test_a_function_that_is_not_at_module_level_is_no_task(self):
        for function in (any, self.test_a_function_that_is_not_at_module_level_is_no_task):
            with self.subTest(function), self.assertRaisesMessage(InvalidTask, "must be defined at a module level"):
                task()(function)

    def test_a_task_with_a_context_has_it_as_its_first_argument(self):
        with self.assertRaisesMessage(InvalidTask, "first argument of 'context'"):
            task(takes_context=True)(tasks.add.func)

    def test_using_makes_another_task_and_leaves_the_first_as_it_is(self):
        now = timezone.now()
        later = tasks.nothing.using(run_after=now).using(priority=10)
        self.assertEqual((later.run_after, later.priority), (now, 10))
        self.assertEqual((tasks.nothing.run_after, tasks.nothing.priority), (None, 0))
        self.assertEqual(tasks.nothing.using(), tasks.nothing)
        self.assertIsNot(tasks.nothing.using(), tasks.nothing)

    def test_an_unknown_or_missing_backend_is_named(self):
        with self.assertRaisesMessage(InvalidTaskBackend, "The connection 'unknown' doesn't exist."):
            tasks.nothing.using(backend="unknown")
        missing = {"default": {"BACKEND": "does.not.exist"}}
        with override_settings(TASKS=missing), self.assertRaisesMessage(InvalidTaskBackend, "Could not find backend 'does"):
            tasks.nothing.using(priority=1)

    def test_priorities_are_whole_numbers_within_djangos_bounds(self):
        for priority in (-101, 101, 3.1):
            with self.subTest(priority), self.assertRaisesMessage(InvalidTask, "priority must be a whole number between"):
                tasks.nothing.using(priority=priority)
        for priority in (-100, 0, 100):
            tasks.nothing.using(priority=priority)

    def test_a_queue_must_be_one_of_the_backend_unless_it_names_none(self):
        with self.assertRaisesMessage(InvalidTask, "Queue 'other' is not valid for backend."):
            tasks.nothing.using(queue_name="other")
        self.assertEqual(tasks.nothing.using(queue_name="other", backend="any").queue_name, "other")

    def test_a_naive_time_is_refused(self):
        with self.assertRaisesMessage(InvalidTask, "run_after must be an aware datetime."):
            tasks.nothing.using(run_after=datetime.now())

    def test_a_task_pickles(self):
        for one in (tasks.nothing, tasks.add.using(priority=7, max_attempts=2, tags={"tenant": "acme"})):
            with self.subTest(one):
                self.assertEqual(pickle.loads(pickle.dumps(one)), one)
        self.assertIsInstance(hash(tasks.add.using(tags={"tenant": "acme"})), int)

    def test_the_check_finds_nothing_wrong(self):
        self.assertEqual(list(default_task_backend.check()), [])

    def test_the_checks_name_what_is_wrong(self):
        for settings, id, text in [
            ({"INSTALLED_APPS": []}, "steve.E101", "steve's app is not installed"),
            ({"OPTIONS": {"tasx": 1}}, "steve.E102", "'tasx'"),
            ({"OPTIONS": {"tasks": {"a.b": {"retries": 3}}}}, "steve.E103", "'retries'"),
            ({"OPTIONS": {"tasks": {"a.b": {"max_attempts": 0}}}}, "steve.E103", "max_attempts"),
            ({"OPTIONS": {"database": "elsewhere"}}, "steve.E104", "'elsewhere'"),
        ]:
            options = {name: value for name, value in settings.items() if name == "OPTIONS"}
            others = {name: value for name, value in settings.items() if name != "OPTIONS"}
            one = {"default": {"BACKEND": "steve.contrib.django.SteveBackend", **options}}
            with self.subTest(settings), override_settings(TASKS=one, **others):
                (message,) = default_task_backend.check()
                self.assertEqual(message.id, id)
                self.assertIn(text, message.msg)


class Enqueued(Case):
    def received(self):
        received = []

        def receive(sender, task_result, **kwargs):
            received.append((sender, task_result))

        task_enqueued.connect(receive, weak=False)
        self.addCleanup(task_enqueued.disconnect, receive)
        return received

    def assert_new(self, result, task, args, kwargs):
        self.assertEqual(uuid.UUID(result.id).version, 7)
        self.assertEqual(result.status, TaskResultStatus.READY)
        self.assertFalse(result.is_finished)
        self.assertIsNotNone(result.enqueued_at)
        self.assertEqual((result.started_at, result.last_attempted_at, result.finished_at), (None, None, None))
        with self.assertRaisesMessage(ValueError, "Task has not finished yet"):
            result.return_value  # noqa: B018
        self.assertEqual((result.task, result.args, result.kwargs), (task, args, kwargs))
        self.assertEqual((result.attempts, result.errors, result.worker_ids), (0, [], []))

    def test_an_enqueued_task_is_ready_after_one_statement(self):
        for one in (tasks.nothing, tasks.nothing_async):
            received = self.received()
            with self.subTest(one), self.assertNumQueries(1):
                result = one.enqueue(1, two=3)
            self.assert_new(result, one, [1], {"two": 3})
            self.assertEqual(received, [(SteveBackend, result)])

    def test_a_task_can_be_enqueued_by_async_code(self):
        for one in (tasks.nothing, tasks.nothing_async):
            received = self.received()
            with self.subTest(one):
                result = async_to_sync(one.aenqueue)(1, two=3)
                self.assert_new(result, one, [1], {"two": 3})
                self.assertEqual(received, [(SteveBackend, result)])

    def test_the_job_of_a_discovered_task_has_its_path_as_its_type(self):
        result = tasks.add.using(queue_name="mail", priority=5).enqueue(1, b=2)
        job = manager_for().find(result.id)
        self.assertEqual((job.type, job.queue, job.priority), ("shop.tasks.add", "mail", 5))
        self.assertEqual((job.payload, job.tags, job.metadata), ({"args": [1], "kwargs": {"b": 2}}, {}, {}))

    def test_the_job_of_another_task_says_in_its_payload_and_a_tag_which_it_is(self):
        result = odd.send.enqueue("Ada")
        job = manager_for().find(result.id)
        self.assertEqual((job.type, job.tags), ("django.task", {"task": "shop.odd.send"}))
        self.assertEqual(job.payload, {"args": ["Ada"], "kwargs": {}, "task": "shop.odd.send"})
        self.assertEqual(manager_for().fetch_all(tags={"task": "shop.odd.send"}), [job])

    def test_arguments_become_json(self):
        result = tasks.echo.enqueue({"tuple": (1, 2), "bytes": b"abc"})
        self.assertEqual(result.args, [{"tuple": [1, 2], "bytes": "abc"}])
        self.assertEqual(default_task_backend.get_result(result.id).args, result.args)

    def test_arguments_that_json_does_not_have_are_refused(self):
        for enqueue in (tasks.nothing.enqueue, async_to_sync(tasks.nothing.aenqueue)):
            with self.assertRaises(TypeError):
                enqueue(datetime.now())
            with self.assertRaises(TypeError):
                enqueue({1, 2})
        for value in (float("nan"), "\x00", "\ud800"):
            with self.subTest(value), self.assertRaises(InvalidJob):
                tasks.nothing.enqueue(value)
        self.assertEqual(manager_for().fetch_all(), [])

    def test_a_task_is_validated_again_when_it_is_enqueued(self):
        with override_settings(TASKS={"default": {"BACKEND": "steve.contrib.django.SteveBackend", "QUEUES": ["other"]}}):
            other = tasks.nothing.using(queue_name="other")
        for enqueue in (other.enqueue, async_to_sync(other.aenqueue)):
            with self.assertRaisesMessage(InvalidTask, "Queue 'other' is not valid for backend."):
                enqueue()
        self.assertEqual(manager_for().fetch_all(), [])

    def test_a_task_that_no_worker_could_find_is_refused(self):
        with self.assertRaisesMessage(InvalidTask, "is not this task, so no worker could find it"):
            odd.alone.enqueue()
        self.assertEqual(manager_for().fetch_all(), [])

    @override_settings(TASKS={})
    def test_without_backends_nothing_can_be_enqueued(self):
        with self.assertRaises(InvalidTaskBackend):
            tasks.nothing.enqueue()

    def test_a_receiver_that_raises_does_not_undo_what_is_enqueued(self):
        def raising(**kwargs):
            raise RuntimeError("a receiver")

        task_enqueued.connect(raising, weak=False)
        self.addCleanup(task_enqueued.disconnect, raising)
        with self.assertLogs("django.dispatch", "ERROR"):
            result = tasks.nothing.enqueue()
        self.assertIsNotNone(manager_for().find(result.id))

    def test_django_logs_what_is_enqueued(self):
        with self.assertLogs(LOGGER, "DEBUG") as logs:
            result = tasks.nothing.enqueue()
        (line,) = logs.output
        self.assertIn("enqueued", line)
        self.assertIn(result.id, line)

    def test_results_are_found_in_another_thread_and_by_async_code(self):
        result = tasks.nothing.enqueue()
        self.assertEqual(default_task_backend.get_result(result.id), result)
        self.assertEqual(async_to_sync(default_task_backend.aget_result)(result.id), result)
        self.assertEqual(tasks.nothing.get_result(result.id), result)
        with self.assertNumQueries(1):
            default_task_backend.get_result(result.id)

    def test_a_result_of_another_task_is_a_mismatch(self):
        result = tasks.nothing_async.enqueue()
        with self.assertRaisesMessage(TaskResultMismatch, "Task does not match"):
            tasks.nothing.get_result(result.id)
        with self.assertRaisesMessage(TaskResultMismatch, "Task does not match"):
            async_to_sync(tasks.nothing.aget_result)(result.id)

    def test_a_result_has_the_task_as_it_was_enqueued(self):
        later = timezone.now() + timedelta(hours=1)
        for one in (
            tasks.add.using(priority=7),
            tasks.add.using(queue_name="mail"),
            tasks.add.using(run_after=later),
            tasks.add.using(backend="any", queue_name="unheard of"),
            tasks.reduced,
        ):
            with self.subTest(one):
                result = one.enqueue(1, 2)
                self.assertEqual(result.task, one)
                again = one.get_backend().get_result(result.id)
                self.assertEqual(again, result)
                self.assertEqual((again.backend, again.task), (one.backend, one))

    def test_a_result_pickles(self):
        result = tasks.add.enqueue(1, 2)
        self.assertEqual(pickle.loads(pickle.dumps(result)), result)

    @skipIf(django.VERSION < (6, 2), "results have no order in this version of Django")
    def test_results_can_be_put_in_order(self):
        waiting = queue.PriorityQueue()
        low, high = tasks.add.using(priority=1).enqueue(1, 2), tasks.add.using(priority=5).enqueue(1, 2)
        for result in (high, low):
            waiting.put(result)
        self.assertEqual(waiting.get(), low)

    def test_refresh_changes_nothing_while_nothing_happens(self):
        result = tasks.nothing.enqueue()
        before = default_task_backend.get_result(result.id)
        result.refresh()
        self.assertEqual(result, before)
        async_to_sync(result.arefresh)()
        self.assertEqual(result, before)

    def test_times_are_naive_without_time_zones(self):
        with override_settings(USE_TZ=False):
            later = datetime.now() + timedelta(hours=1)
            result = tasks.nothing.using(run_after=later).enqueue()
            self.assertTrue(timezone.is_naive(result.enqueued_at))
            self.assertEqual(default_task_backend.get_result(result.id).task.run_after, later)
        due = manager_for().find(result.id).run_at
        self.assertEqual(due, timezone.make_aware(later).astimezone(UTC))


class Transactions(Case):
    def seen_by_others(self):
        other = connections.create_connection("default")
        try:
            with other.cursor() as cursor:
                cursor.execute("select count(*) from steve.job")
                return cursor.fetchone()[0]
        finally:
            other.close()

    def test_a_task_is_committed_with_the_transaction_that_enqueues_it(self):
        for one in range(20):
            with transaction.atomic():
                result = tasks.add.enqueue(1, 2)
                self.assertEqual(default_task_backend.get_result(result.id), result)
                self.assertEqual(self.seen_by_others(), one)
            self.assertEqual(self.seen_by_others(), one + 1)

    def test_a_task_is_rolled_back_with_the_transaction_that_enqueues_it(self):
        class Undo(Exception):
            pass

        for _ in range(20):
            with self.assertRaises(Undo), transaction.atomic():
                tasks.add.enqueue(1, 2)
                raise Undo
        with transaction.atomic():
            tasks.add.enqueue(1, 2)
            transaction.set_rollback(True)
        with transaction.atomic(), self.assertRaises(Undo), transaction.atomic():
            tasks.add.enqueue(1, 2)
            raise Undo
        self.assertEqual(self.seen_by_others(), 0)

    def test_async_code_enqueues_on_the_connection_of_its_thread(self):
        with transaction.atomic():
            async_to_sync(tasks.add.aenqueue)(1, 2)
            self.assertEqual(self.seen_by_others(), 0)
        self.assertEqual(self.seen_by_others(), 1)

    def test_a_refused_task_leaves_the_transaction_usable(self):
        with transaction.atomic():
            with self.assertRaises(InvalidJob):
                tasks.echo.enqueue(float("inf"))
            tasks.echo.enqueue(1)
        self.assertEqual(self.seen_by_others(), 1)

    def test_execute_wrappers_see_the_statement(self):
        seen = []

        def wrapper(execute, sql, params, many, context):
            seen.append(sql)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(wrapper):
            tasks.add.enqueue(1, 2)
        self.assertEqual(len(seen), 1)
