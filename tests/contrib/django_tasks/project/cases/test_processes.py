"""Worker processes: signals, several at once, and one that is killed."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from shop import tasks
from shop.api import TaskResultStatus

from cases import SECONDS, Case
from steve.contrib.django import manager_for

PROJECT = Path(__file__).parents[1]


class Processes(Case):
    def start(self):
        process = subprocess.Popen(
            [sys.executable, str(PROJECT / "work.py")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=PROJECT,
        )  # fmt: skip
        self.addCleanup(self.end, process)
        self.assertEqual(process.stdout.readline(), "working\n")
        return process

    def end(self, process):
        process.kill()
        process.wait(SECONDS)
        process.stdout.close()

    def run_until_ended(self, *results):
        manager_for().wait_all([result.id for result in results], SECONDS)
        for result in results:
            result.refresh()

    def until_running(self, result):
        def running():
            result.refresh()
            return result.status == TaskResultStatus.RUNNING

        self.until(running)

    def test_a_process_runs_tasks_and_stops_when_it_is_told_to(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                process = self.start()
                result = tasks.add.enqueue(1, 2)
                self.run_until_ended(result)
                self.assertEqual(result.return_value, 3)
                process.send_signal(number)
                self.assertEqual(process.wait(SECONDS), 0)

    def test_a_task_that_runs_when_the_process_is_told_to_stop_is_finished(self):
        with tempfile.TemporaryDirectory() as folder:
            process = self.start()
            result = tasks.sleep_once.enqueue(str(Path(folder) / "marker"), 1)
            self.until((Path(folder) / "marker").exists)  # a task that is only claimed would go back
            self.until_running(result)
            self.assertEqual(result.worker_ids, [f"{os.uname().nodename}:{process.pid}"])
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(SECONDS), 0)
        result.refresh()
        self.assertEqual((result.status, result.return_value), (TaskResultStatus.SUCCESSFUL, "the first run"))

    def test_after_a_second_signal_the_process_ends_and_the_task_runs_elsewhere(self):
        with tempfile.TemporaryDirectory() as folder:
            process = self.start()
            result = tasks.sleep_once.enqueue(str(Path(folder) / "marker"), 300)
            self.until_running(result)
            self.until(lambda: (Path(folder) / "marker").exists())
            process.send_signal(signal.SIGINT)
            self.until(lambda: self.execute("select 1 from steve.process where (info ->> 'stopping')::boolean"))
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGKILL)  # its handler sleeps on
            process.wait(SECONDS)
            self.start()
            self.run_until_ended(result)
        self.assertEqual((result.status, result.return_value), (TaskResultStatus.SUCCESSFUL, "the second run"))

    def test_a_task_whose_process_is_killed_runs_again_and_succeeds(self):
        with tempfile.TemporaryDirectory() as folder:
            first = self.start()
            result = tasks.sleep_once.enqueue(str(Path(folder) / "marker"), 300)
            self.until_running(result)
            self.until(lambda: (Path(folder) / "marker").exists())
            first.kill()
            self.assertEqual(first.wait(SECONDS), -signal.SIGKILL)
            second = self.start()
            self.run_until_ended(result)
        self.assertEqual((result.status, result.return_value), (TaskResultStatus.SUCCESSFUL, "the second run"))
        self.assertEqual([error.exception_class_path for error in result.errors], ["steve.Crashed"])
        host = os.uname().nodename
        self.assertEqual(result.worker_ids, [f"{host}:{first.pid}", f"{host}:{second.pid}"])
        self.assertEqual(result.attempts, 2)

    def test_tasks_that_leave_or_interrupt_do_not_end_the_process(self):
        process = self.start()
        results = [one.using(max_attempts=1).enqueue() for one in (tasks.leave, tasks.interrupt)]
        self.run_until_ended(*results, last := tasks.add.enqueue(1, 2))
        self.assertEqual([result.errors[0].exception_class for result in results], [SystemExit, KeyboardInterrupt])
        self.assertEqual(last.status, TaskResultStatus.SUCCESSFUL)
        self.assertIsNone(process.poll())

    def test_several_processes_share_the_tasks_and_run_each_once(self):
        processes = [self.start() for _ in range(3)]
        results = [tasks.sleep.enqueue(0.2) for _ in range(30)]
        self.run_until_ended(*results)
        self.assertEqual({result.status for result in results}, {TaskResultStatus.SUCCESSFUL})
        self.assertEqual({result.attempts for result in results}, {1})
        self.assertGreater(len({worker for result in results for worker in result.worker_ids}), 1)
        del processes
