"""Working: what becomes of tasks, and what their results say of it."""

import logging
import threading
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from asgiref.sync import async_to_sync
from django.utils import timezone
from shop import odd, tasks
from shop.api import (
    LOGGER,
    TaskResultDoesNotExist,
    TaskResultStatus,
    default_task_backend,
    task_finished,
    task_started,
)

from cases import SECONDS, Case, backend
from steve import RetryPolicy, Snooze, Status
from steve.contrib.django import SteveBackend, manager_for
from steve.contrib.django.tasks.errors import TaskNotFound
from steve.contrib.django.tasks.work import PATIENCE, PAUSE, postponed

SUCCESSFUL, FAILED, READY, RUNNING = (
    TaskResultStatus.SUCCESSFUL,
    TaskResultStatus.FAILED,
    TaskResultStatus.READY,
    TaskResultStatus.RUNNING,
)
ONCE = {"max_attempts": 1}


class Successful(Case):
    def test_a_task_runs_and_its_result_says_so(self):
        for one in (tasks.nothing, tasks.nothing_async):
            with self.subTest(one):
                result = one.enqueue(1, two=3)
                self.worked(result)
                self.assertEqual(result.status, SUCCESSFUL)
                self.assertTrue(result.is_finished)
                self.assertIsNone(result.return_value)
                self.assertLessEqual(result.enqueued_at, result.started_at)
                self.assertLessEqual(result.started_at, result.finished_at)
                self.assertEqual(result.last_attempted_at, result.started_at)
                self.assertEqual((result.attempts, result.errors), (1, []))

    def test_return_values_come_back(self):
        for one, args, value in [
            (tasks.add, (40, 2), 42),
            (tasks.add_async, (40, 2), 42),
            (tasks.bare, (), "bare"),
            (tasks.echo, ([1, None, {"a": True}],), [1, None, {"a": True}]),
            (tasks.return_bytes_and_tuples, (), {"bytes": "abc", "tuple": [1, 2]}),
            (odd.send, ("Ada",), "sent to Ada"),
        ]:
            with self.subTest(one):
                self.assertEqual(self.worked(one.enqueue(*args)).return_value, value)

    def test_results_are_refreshed_by_async_code(self):
        result = tasks.add.enqueue(1, 2)
        with self.working() as manager:
            manager.wait(result.id, SECONDS)
        async_to_sync(result.arefresh)()
        self.assertEqual((result.status, result.return_value, result.attempts), (SUCCESSFUL, 3, 1))

    def test_a_task_may_ask_for_its_context(self):
        result = tasks.own_id.enqueue()
        self.assertEqual(self.worked(result).return_value, result.id)

    def test_a_task_may_enqueue_another(self):
        first = tasks.enqueue_another.enqueue(1, 2)
        with self.working() as manager:
            second = manager.wait(manager.wait(first.id, SECONDS).result, SECONDS)
        self.assertEqual(default_task_backend.get_result(str(second.uid)).return_value, 3)

    def test_tasks_of_all_backends_and_queues_run(self):
        results = [
            tasks.add.using(queue_name="mail").enqueue(1, 2),
            tasks.add.using(backend="any", queue_name="anything").enqueue(1, 2),
            tasks.add.using(backend="configured").enqueue(1, 2),
        ]
        for result in self.worked(*results):
            self.assertEqual(result.return_value, 3)
        self.assertEqual([result.backend for result in results], ["default", "any", "configured"])

    def test_a_task_of_a_queue_that_nobody_serves_stays_ready(self):
        result, other = tasks.add.using(queue_name="mail").enqueue(1, 2), tasks.add.enqueue(1, 2)
        self.worked(other, workers={"default": 1})
        result.refresh()
        self.assertEqual((result.status, other.status), (READY, SUCCESSFUL))
        self.worked(result, workers={"*": 1})
        self.assertEqual(result.status, SUCCESSFUL)

    def test_a_queue_may_be_left_out(self):
        result, other = tasks.add.using(queue_name="mail").enqueue(1, 2), tasks.add.enqueue(1, 2)
        self.worked(other, workers={"-mail": 1})
        result.refresh()
        self.assertEqual((result.status, other.status), (READY, SUCCESSFUL))

    def test_a_task_runs_after_its_time_and_not_before(self):
        result = tasks.add.using(run_after=timezone.now() + timedelta(hours=1)).enqueue(1, 2)
        other = tasks.add.using(run_after=timezone.now() - timedelta(hours=1)).enqueue(1, 2)
        self.worked(other)
        result.refresh()
        self.assertEqual(result.status, READY)
        manager_for().reschedule(result.id, delay=0)
        self.assertEqual(self.worked(result).status, SUCCESSFUL)

    def test_higher_priorities_go_first_and_then_the_longest_due(self):
        now = timezone.now()
        changes = [
            {"priority": -2},
            {"priority": 0},
            {"priority": 10},
            {"priority": 20, "run_after": now - timedelta(hours=2)},
            {"priority": 20, "run_after": now - timedelta(hours=1)},
            {"priority": 100, "run_after": now + timedelta(hours=1)},
        ]
        results = [tasks.add.using(**change).enqueue(number, 0) for number, change in enumerate(changes)]
        # A time in the past is stored as now, so the order of creation decides.
        order = []

        def receive(task_result, **kwargs):
            order.append(task_result.args[0])

        task_started.connect(receive, weak=False)
        self.addCleanup(task_started.disconnect, receive)
        self.worked(*results[:-1], workers=1)
        self.assertEqual(order, [3, 4, 2, 1, 0])

    def test_a_locked_task_is_passed_by(self):
        import psycopg
        from django.db import connection

        locked, free = tasks.add.enqueue(1, 2), tasks.add.enqueue(1, 2)
        with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None, "context": None}) as other:
            other.execute("select from steve.job where uid = %s for update", [locked.id])
            self.worked(free)
            locked.refresh()
            self.assertEqual((locked.status, free.status), (READY, SUCCESSFUL))
        self.assertEqual(self.worked(locked).status, SUCCESSFUL)

    def test_workers_are_threads_with_connections_of_their_own(self):
        results = [tasks.where_the_connection_is.enqueue() for _ in range(20)]
        self.worked(*results, workers=4)
        places = {tuple(result.return_value) for result in results}
        self.assertNotIn(threading.get_ident(), [thread for thread, _ in places])
        pids = [pid for _, pid in places]
        self.until(lambda: self.execute("select count(*) from pg_stat_activity where pid = any(%s)", pids) == [(0,)])

    def test_a_running_task_is_running(self):
        tasks.begun.clear()
        tasks.go_on.clear()
        result = tasks.wait.enqueue()
        with self.working() as manager:
            try:
                self.assertTrue(tasks.begun.wait(SECONDS))
                result.refresh()
                self.assertEqual((result.status, result.attempts), (RUNNING, 1))
                self.assertIsNotNone(result.started_at)
                self.assertIsNotNone(result.last_attempted_at)
                self.assertIsNone(result.finished_at)
                self.assertFalse(result.is_finished)
                running = result.worker_ids
            finally:
                tasks.go_on.set()
            manager.wait(result.id, SECONDS)
        result.refresh()
        self.assertEqual((result.status, result.worker_ids), (SUCCESSFUL, running))


class Failed(Case):
    def test_an_error_fails_the_task_and_is_kept(self):
        for one, error, end in [
            (tasks.fail, ValueError, "ValueError: this task failed\n"),
            (tasks.leave, SystemExit, "SystemExit: this task left\n"),
            (tasks.interrupt, KeyboardInterrupt, "KeyboardInterrupt: somebody pressed a key\n"),
            (tasks.fail_with_an_error_in_an_error, ValueError, "ValueError: this task failed\n"),
        ]:
            with self.subTest(one), self.assertLogs("steve", "ERROR"):
                result = self.worked(one.using(**ONCE).enqueue())
            self.assertEqual((result.status, result.attempts), (FAILED, 1))
            with self.assertRaisesMessage(ValueError, "Task failed"):
                result.return_value  # noqa: B018
            (kept,) = result.errors
            self.assertIs(kept.exception_class, error)
            self.assertTrue(kept.traceback.endswith(end), kept.traceback)
            self.assertIn("tasks.py", kept.traceback)
            self.assertNotIn("steve/contrib", kept.traceback.partition("shop")[0])
            self.assertLessEqual(result.started_at, result.finished_at)

    def test_a_class_that_cannot_be_imported_counts_as_exception(self):
        with self.assertLogs("steve", "ERROR"):
            result = self.worked(tasks.raise_a_local_class.using(**ONCE).enqueue())
        self.assertIs(result.errors[0].exception_class, Exception)
        self.assertIn("of no other process", result.errors[0].traceback)

    def test_a_return_value_that_json_does_not_have_fails_the_task_at_once(self):
        with self.assertLogs("steve", "ERROR"):
            result = self.worked(tasks.return_a_function.enqueue())
        self.assertEqual((result.status, result.attempts, result._return_value), (FAILED, 1, None))
        self.assertIs(result.errors[0].exception_class, TypeError)
        self.assertIn("return_a_function", result.errors[0].traceback)

    def test_a_task_that_fails_is_tried_again(self):
        result = tasks.attempts.using(max_attempts=3, backoff_strategy="none").enqueue(until=3)
        with self.assertLogs("steve", "WARNING"):
            self.worked(result)
        self.assertEqual((result.status, result.attempts), (SUCCESSFUL, 3))
        self.assertEqual([error.exception_class for error in result.errors], [ValueError, ValueError])
        attempt, errors, workers = result.return_value
        self.assertEqual((attempt, errors, workers), (3, 2, result.worker_ids))
        self.assertEqual(len(set(workers)), 1)
        self.assertLess(result.started_at, result.last_attempted_at)

    def test_a_task_that_will_be_tried_again_is_ready(self):
        result = tasks.fail.using(max_attempts=2, backoff_strategy=RetryPolicy(base=1000), delay=0).enqueue()
        with self.working(), self.assertLogs("steve", "WARNING"):
            self.until(lambda: manager_for().find(result.id).attempts == 1 and not self.running(result))
        result.refresh()
        self.assertEqual((result.status, result.attempts, len(result.errors)), (READY, 1, 1))
        self.assertIsNone(result.finished_at)

    def running(self, result):
        return manager_for().find(result.id).status == Status.RUNNING

    def test_a_cancelled_task_has_failed(self):
        result = tasks.add.enqueue(1, 2)
        manager_for().cancel(result.id, "of no use")
        result.refresh()
        self.assertEqual((result.status, result.is_finished, result.attempts), (FAILED, True, 0))
        (error,) = result.errors
        self.assertEqual((error.exception_class_path, error.traceback), ("steve.Cancelled", "Cancelled: of no use"))
        self.assertTrue(issubclass(error.exception_class, Exception))

    def test_an_expired_task_has_failed(self):
        result = tasks.add.using(expires_in=0.05).enqueue(1, 2)
        self.execute("select pg_sleep(0.1)")
        self.worked(result)
        self.assertEqual((result.status, result.errors[0].exception_class_path), (FAILED, "steve.Expired"))

    def test_missing_results_are_told_from_others(self):
        for id in (str(uuid.uuid4()), "123", "", None, 123):
            with self.subTest(id), self.assertRaises(TaskResultDoesNotExist):
                default_task_backend.get_result(id)
            with self.subTest(id), self.assertRaises(TaskResultDoesNotExist):
                async_to_sync(default_task_backend.aget_result)(id)
        result = tasks.add.enqueue(1, 2)
        self.execute("delete from steve.job")
        with self.assertRaises(TaskResultDoesNotExist):
            result.refresh()

    def test_a_job_that_calls_no_task_is_no_result(self):
        manager = manager_for()
        for type, payload in [
            ("welcome", {"email": "ada@example.com"}),
            ("shop.tasks.add", {"order": 7}),
            ("django.task", {"args": [], "kwargs": {}}),
            ("shop.odd.plain", {"args": [], "kwargs": {}}),
            ("subprocess.check_output", {"args": [["true"]], "kwargs": {}}),
        ]:
            job = manager.create(type, payload)
            with self.subTest(type), self.assertRaises(TaskResultDoesNotExist):
                default_task_backend.get_result(str(job.uid))

    def test_a_result_whose_task_cannot_be_imported_says_so(self):
        job = manager_for().create("django.task", {"args": [], "kwargs": {}, "task": "no.such.task"})
        with self.assertRaises(ImportError):
            default_task_backend.get_result(str(job.uid))


class Imported(Case):
    """Tasks whose type does not say where they are."""

    def create(self, path, **options):
        payload = {"args": [], "kwargs": {}} | ({} if path is None else {"task": path})
        return manager_for().create("django.task", payload, **options)

    def test_what_is_no_task_is_never_called(self):
        for path in ("shop.odd.plain", "subprocess.check_output", "builtins.exit", "nothing", None, 7):
            job = self.create(path)
            with self.subTest(path), self.working() as manager, self.assertLogs("steve", "ERROR"):
                ended = manager.wait(job, SECONDS)
            self.assertEqual((ended.status, ended.attempts), (Status.FAILED, 1))
            (attempt,) = manager_for().history(job)
            self.assertEqual(attempt.error_type, "steve.contrib.django.tasks.errors.NotATask")

    def test_a_task_that_cannot_be_imported_yet_is_put_off_and_why_says_so(self):
        for path in ("no.such.task", "shop.odd.of_the_next_version"):
            job = self.create(path)
            with self.subTest(path), self.working() as manager:
                found = self.until(lambda job=job: (j := manager.find(job)).error and j.status == Status.PENDING and j)
                self.assertEqual(found.attempts, 0)
                self.assertAlmostEqual((found.run_at - found.updated_at).total_seconds(), PAUSE, delta=1)
                (reason, *_) = manager.why(job).reasons
            self.assertEqual(reason.code, "snoozed")
            self.assertIn(f"because {path} cannot be imported: ", reason.text)
            self.assertEqual(manager_for().history(job), [])

    def test_it_runs_as_soon_as_it_can_be_imported(self):
        from shop.api import task

        def of_the_next_version():
            return "done"

        of_the_next_version.__module__, of_the_next_version.__qualname__ = "shop.odd", "of_the_next_version"
        job = self.create("shop.odd.of_the_next_version")
        with self.working() as manager:
            self.until(lambda: manager.find(job).error)
            odd.of_the_next_version = task(of_the_next_version)
            self.addCleanup(delattr, odd, "of_the_next_version")
            manager.reschedule(job, delay=0)
            ended = manager.wait(job, SECONDS)
        self.assertEqual((ended.status, ended.result, ended.attempts, ended.error), (Status.COMPLETED, "done", 1, None))

    def test_after_an_hour_it_fails(self):
        job = self.create("no.such.task")
        self.execute("update steve.job set started_at = now() - interval '61 minutes'")
        with self.working() as manager, self.assertLogs("steve", "ERROR"):
            ended = manager.wait(job, SECONDS)
        self.assertEqual(ended.status, Status.FAILED)
        self.assertIn("no.such.task cannot be imported", ended.error)

    def test_how_long_it_is_put_off(self):
        now = datetime(2026, 1, 2, tzinfo=UTC)
        for since, kind in [
            (None, Snooze),
            (now, Snooze),
            (now + timedelta(seconds=5), Snooze),  # the clocks of two machines differ
            (now - timedelta(seconds=PATIENCE - 1), Snooze),
            (now - timedelta(seconds=PATIENCE), TaskNotFound),
            (now - timedelta(days=400), TaskNotFound),
        ]:
            with self.subTest(since):
                raised = postponed("a.b", ModuleNotFoundError("No module named 'a'"), since, now)
                self.assertIs(type(raised), kind)
                text = raised.reason if kind is Snooze else str(raised)
                self.assertEqual(text, "a.b cannot be imported: ModuleNotFoundError: No module named 'a'")
                if kind is Snooze:
                    self.assertEqual(raised.seconds, PAUSE)

    def test_jobs_of_other_programs_are_left_alone(self):
        theirs = manager_for().create("welcome", {"email": "ada@example.com"})
        self.worked(tasks.add.enqueue(1, 2), odd.send.enqueue("Ada"))
        self.assertEqual(manager_for().find(theirs).status, Status.PENDING)

    def test_a_task_of_a_newer_version_is_left_to_its_processes(self):
        newer = manager_for().create("shop.tasks.of_the_next_version", {"args": [], "kwargs": {}})
        with self.working() as manager:
            result = tasks.add.enqueue(1, 2)
            manager.wait(result.id, SECONDS)
            self.until(lambda: manager.why(newer).codes[0] == "no_handler")
            self.assertEqual(manager.find(newer).attempts, 0)

    def test_a_call_that_somebody_wrote_wrongly_fails(self):
        job = manager_for().create("shop.tasks.add", {"order": 7})
        with self.working() as manager, self.assertLogs("steve", "ERROR"):
            ended = manager.wait(job, SECONDS)
        self.assertEqual((ended.status, ended.attempts), (Status.FAILED, 1))
        self.assertIn("is no call of a task", ended.error)


class Signals(Case):
    def setUp(self):
        super().setUp()
        self.received = []

        def receive(name):
            def receiver(sender, task_result, **kwargs):
                stored = manager_for().find(task_result.id)
                self.received.append(
                    SimpleNamespace(
                        name=name, sender=sender, result=task_result, stored=stored, thread=threading.current_thread()
                    )
                )

            return receiver

        for signal, name in ((task_started, "started"), (task_finished, "finished")):
            receiver = receive(name)
            signal.connect(receiver, weak=False)
            self.addCleanup(signal.disconnect, receiver)

    def names(self):
        return [(one.name, one.result.status) for one in self.received]

    def test_started_comes_before_the_task_and_finished_after_its_commit(self):
        result = self.worked(tasks.add.enqueue(1, 2))
        self.assertEqual(self.names(), [("started", RUNNING), ("finished", SUCCESSFUL)])
        started, finished = self.received
        self.assertEqual((started.sender, finished.sender), (SteveBackend, SteveBackend))
        self.assertEqual((started.stored.status, finished.stored.status), (Status.RUNNING, Status.COMPLETED))
        self.assertEqual(finished.result.return_value, 3)
        self.assertEqual(finished.result.worker_ids, result.worker_ids)
        self.assertEqual(started.result.worker_ids, result.worker_ids)
        self.assertEqual(finished.result, backend().get_result(result.id))

    def test_finished_is_told_once_after_the_last_attempt(self):
        with self.assertLogs("steve", "WARNING"):
            result = self.worked(tasks.fail.using(max_attempts=2, backoff_strategy="none").enqueue())
        self.assertEqual(self.names(), [("started", RUNNING), ("started", RUNNING), ("finished", FAILED)])
        self.assertEqual(len(self.received[-1].result.errors), 2)
        self.assertEqual(self.received[-1].result, backend().get_result(result.id))
        self.assertEqual(self.received[-1].stored.status, Status.FAILED)

    def test_a_cancelled_task_is_told_as_failed(self):
        result = tasks.add.using(run_after=timezone.now() + timedelta(hours=1)).enqueue(1, 2)
        with self.working() as manager:
            manager.cancel(result.id, connection=None)
            self.until(lambda: self.received)
        self.assertEqual(self.names(), [("finished", FAILED)])

    def test_a_receiver_that_raises_harms_nobody(self):
        def raising(**kwargs):
            raise RuntimeError("a receiver")

        for signal in (task_started, task_finished):
            signal.connect(raising, weak=False)
            self.addCleanup(signal.disconnect, raising)
        with self.assertLogs("django.dispatch", "ERROR") as logs:
            self.assertEqual(self.worked(tasks.add.enqueue(1, 2)).status, SUCCESSFUL)
        self.assertEqual(len(logs.records), 2)

    def test_django_logs_the_states_and_steve_the_traceback_once(self):
        with self.assertLogs(level="INFO") as logs:
            done = self.worked(tasks.add.enqueue(1, 2))
            failed = self.worked(tasks.fail.using(**ONCE).enqueue())
        django = [record for record in logs.records if record.name == LOGGER]
        shown = [(record.getMessage().rpartition("state=")[2], record.levelno) for record in django]
        self.assertEqual(
            shown,
            [("RUNNING", logging.INFO), ("SUCCESSFUL", logging.INFO), ("RUNNING", logging.INFO), ("FAILED", logging.ERROR)],
        )
        self.assertIn(f"id={done.id} path=shop.tasks.add", django[0].getMessage())
        self.assertIn(failed.id, django[-1].getMessage())
        with_traceback = [record for record in logs.records if record.exc_info and record.exc_info[0]]
        self.assertEqual([record.name for record in with_traceback], ["steve"])
        if LOGGER == "django.tasks":  # the older package logs an exception even where there is none
            self.assertNotIn("NoneType", "".join(logs.output))
