"""SteveTask: what jobs of a task are created with."""

from datetime import datetime, timedelta

from django.test import override_settings
from shop import odd, tasks
from shop.api import InvalidTask, TaskResultStatus

from cases import Case
from steve import AlreadyExists, RetryPolicy
from steve.contrib.django import SteveTask, manager_for


def per_order(a, b):
    return f"order-{a}" if a else None


class Options(Case):
    def test_keywords_reach_the_job(self):
        result = tasks.add.using(
            max_attempts=7,
            backoff_strategy=RetryPolicy(max_delay=9),
            timeout=timedelta(seconds=30),
            delay=3600,
            unique="order-7",
            unique_for=60,
            tags={"tenant": "acme"},
            metadata={"locale": "de"},
            expires_in=86_400,
            notify=False,
        ).enqueue(1, 2)
        job = manager_for().find(result.id)
        self.assertEqual((job.max_attempts, job.timeout, job.unique), (7, 30.0, "order-7"))
        self.assertEqual((job.tags, job.metadata), ({"tenant": "acme"}, {"locale": "de"}))
        self.assertAlmostEqual((job.run_at - job.created_at).total_seconds(), 3600, delta=60)
        self.assertAlmostEqual((job.expires_at - job.created_at).total_seconds(), 86_400, delta=60)

    def test_the_settings_may_say_them_by_path_and_the_task_counts_more(self):
        plain = tasks.add.using(backend="configured")
        job = manager_for().find(plain.enqueue(1, 2).id)
        self.assertEqual((job.max_attempts, job.timeout), (9, 30.0))
        job = manager_for().find(plain.using(max_attempts=2).enqueue(1, 2).id)
        self.assertEqual((job.max_attempts, job.timeout), (2, 30.0))
        self.assertEqual(manager_for().find(tasks.add.enqueue(1, 2).id).max_attempts, 3)

    def test_a_task_without_a_type_of_its_own_keeps_its_tags(self):
        job = manager_for().find(odd.send.using(tags={"tenant": "acme"}).enqueue("Ada").id)
        self.assertEqual(job.tags, {"tenant": "acme", "task": "shop.odd.send"})

    def test_a_duplicate_is_the_result_that_is_there(self):
        once = tasks.add.using(unique="order-7")
        first, second = once.enqueue(1, 2), once.enqueue(3, 4)
        self.assertEqual((second.id, second.args), (first.id, [1, 2]))
        with self.assertRaises(AlreadyExists):
            once.using(on_conflict="raise").enqueue(3, 4)
        third = once.using(on_conflict="replace").enqueue(5, 6)
        self.assertEqual((third.id, third.args), (first.id, [5, 6]))

    def test_a_key_may_be_made_of_the_arguments(self):
        once = tasks.add.using(unique=per_order)
        ids = [once.enqueue(*args).id for args in [(1, 1), (2, 1), (1, 2), (0, 1), (0, 1)]]
        self.assertEqual([ids.index(id) for id in ids], [0, 1, 0, 3, 4])

    def test_what_cannot_be_is_named_at_the_declaration(self):
        for options, text in [
            ({"max_attempts": 0}, "max_attempts"),
            ({"max_attempts": "3"}, "max_attempts"),
            ({"backoff_strategy": "fast"}, "backoff_strategy"),
            ({"timeout": -1}, "timeout"),
            ({"delay": "soon"}, "delay"),
            ({"unique": ""}, "unique"),
            ({"unique": 7}, "unique"),
            ({"on_conflict": "wait", "unique": "k"}, "on_conflict"),
            ({"on_conflict": "raise"}, "on_conflict needs unique"),
            ({"unique_for": 60}, "unique_for"),
            ({"tags": {"a": None}}, "tags"),
            ({"metadata": {"a": {1, 2}}}, "metadata"),
            ({"expires_at": datetime.now()}, "expires_at"),
            ({"expires_in": -1}, "expires_in"),
            ({"notify": "yes"}, "notify"),
        ]:
            with self.subTest(options), self.assertRaisesMessage(InvalidTask, text):
                tasks.add.using(**options)
            with self.subTest(options), self.assertRaisesMessage(InvalidTask, text):
                SteveTask(func=tasks.add.func, backend="default", queue_name="default", priority=0, run_after=None, **options)
        with self.assertRaises(TypeError):
            tasks.add.using(retries=3)

    def test_the_twins_for_tests_take_the_same_keywords(self):
        for alias in ("immediate", "dummy"):
            one = tasks.add.using(backend=alias, max_attempts=3, timeout=9, unique="k", tags={"a": 1})
            self.assertEqual(one.enqueue(1, 2).task, one)
            with self.assertRaisesMessage(InvalidTask, "max_attempts"):
                tasks.add.using(backend=alias, max_attempts=0)

    def test_the_immediate_twin_runs_at_once(self):
        result = tasks.add.using(backend="immediate").enqueue(1, 2)
        self.assertEqual((result.status, result.return_value), (TaskResultStatus.SUCCESSFUL, 3))
        self.assertEqual(manager_for().fetch_all(), [])

    def test_the_dummy_twin_keeps_what_was_enqueued(self):
        one = tasks.add.using(backend="dummy")
        result = one.enqueue(1, 2)
        self.assertIn(result, one.get_backend().results)
        self.assertEqual(manager_for().fetch_all(), [])

    def test_tests_may_replace_the_backend(self):
        with override_settings(TASKS={"default": {"BACKEND": "steve.contrib.django.DummyBackend"}}):
            result = tasks.add.enqueue(1, 2)
            self.assertEqual(tasks.add.get_backend().results, [result])
        self.assertEqual(manager_for().fetch_all(), [])
