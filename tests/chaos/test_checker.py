"""Tests of the checker on made-up ledgers: a sound one passes, and each kind of flaw is found and named."""

from __future__ import annotations

from pathlib import Path

from .checker import AttemptRow, Findings, JobRow, check
from .ledger import Event, Ledger, read

PID = 7


def enq(k: str, how: str = "ok") -> Event:
    return {"t": 0.0, "ev": f"enq_{how}", "k": k}


def start(k: str, attempt: int = 1, run: str = "", pid: int = PID, t: float = 1.0) -> Event:
    return {"t": t, "ev": "run_start", "k": k, "attempt": attempt, "run": run or f"{k}.{attempt}", "pid": pid}


def end(k: str, attempt: int = 1, ok: bool = True, pid: int = PID) -> Event:
    return {"t": 2.0, "ev": "run_end", "k": k, "attempt": attempt, "run": f"{k}.{attempt}", "pid": pid, "ok": ok}


def told(k: str, status: str = "completed") -> Event:
    return {"t": 3.0, "ev": "listener", "k": k, "status": status, "pid": PID}


def death(pid: int = PID) -> Event:
    return {"t": 2.0, "ev": "death", "pid": pid}


def job(k: str, status: str = "completed", by: str | None = "", crashes: int = 0) -> JobRow:
    return JobRow(k, status, crashes, (by or f"{k}.1") if status == "completed" else None)


def attempt(k: str, number: int = 1, status: str = "success", pid: int = PID) -> AttemptRow:
    return AttemptRow(k, number, status, pid)


def done(k: str) -> list[Event]:
    return [enq(k), start(k), end(k), told(k)]


def flaws(found: Findings) -> dict[str, list[str]]:
    return {name: whom for name, whom in found.flaws.items() if whom}


def test_a_sound_ledger_has_no_flaw() -> None:
    events = [*done("a"), enq("b", "unknown"), start("b"), end("b"), told("b"), enq("c", "unknown"), enq("d", "fail")]
    found = check(events, [job("a"), job("b")], [attempt("a"), attempt("b")])
    assert found.is_sound()
    assert (found.jobs, found.runs, found.extra_runs, found.recovered, found.untold) == (2, 2, 0, 1, 0)


def test_futures_that_hang_or_lie_are_found() -> None:
    def asked(k: str, how: str | None = None) -> list[Event]:
        answered = [{"t": 4.0, "ev": "answered", "k": k, "how": how}] if how else []
        return [*done(k), {"t": 0.5, "ev": "asked", "k": k}, *answered]

    events = [*asked("a", "completed"), *asked("b"), *asked("c", "failed"), *asked("d", "NotRunning"), *asked("e", "JobGone")]
    found = check(events, [job(k) for k in "abcd"], [attempt(k) for k in "abcd"], gone={"e"})
    assert flaws(found) == {"waits": ["b: nothing, not completed", "c: failed, not completed", "d: NotRunning, not completed"]}


def test_a_retry_and_a_rescue_explain_further_runs() -> None:
    events = [
        enq("a"), start("a"), end("a", ok=False), start("a", 2), death(), start("a", 3, pid=8), end("a", 3, pid=8), told("a"),
    ]  # fmt: skip
    rows = [attempt("a", 1, "error"), attempt("a", 2, "crashed"), attempt("a", 3, pid=8)]
    found = check(events, [job("a", by="a.3", crashes=1)], rows)
    assert flaws(found) == {}
    assert (found.extra_runs, found.deaths) == (2, 1)


def test_a_job_that_is_gone_or_not_final_is_lost() -> None:
    found = check([*done("a"), enq("b")], [job("b", "pending")], [])
    assert flaws(found) == {"lost": ["a", "b"]}


def test_a_job_that_nobody_stored_is_a_ghost_and_one_stored_twice_a_duplicate() -> None:
    events = [*done("a"), enq("b", "fail"), start("b"), end("b"), told("b")]
    found = check(events, [job("a"), job("a"), job("b")], [attempt("a"), attempt("b")])
    assert flaws(found) == {"ghost": ["b"], "duplicate": ["a"]}


def test_a_completed_job_without_a_run_is_found() -> None:
    assert flaws(check([enq("a"), told("a")], [job("a")], [attempt("a")])) == {"never_run": ["a"]}


def test_a_run_without_an_attempt_is_unexplained() -> None:
    events = [*done("a"), start("a", 1, "another"), *done("b"), enq("c"), start("c"), start("c", 2)]
    found = check(events, [job("a"), job("b"), job("c", "running")], [attempt("a"), attempt("b")])
    assert flaws(found) == {"unexplained": ["a", "c"], "lost": ["c"]}


def test_two_successes_or_the_result_of_another_run_are_a_double_final() -> None:
    events = [*done("a"), start("a", 2), *done("b"), enq("c"), start("c"), end("c", ok=False), told("c", "failed")]
    rows = [attempt("a"), attempt("a", 2), attempt("b"), attempt("c")]
    found = check(events, [job("a"), job("b", by="zombie"), job("c", "failed")], rows)
    assert flaws(found) == {"double_final": ["a", "b", "c"]}


def test_an_attempt_spent_on_an_error_of_ours_is_found() -> None:
    events = [enq("a"), start("a"), end("a"), start("a", 2), end("a", 2), told("a")]
    found = check(events, [job("a", by="a.2")], [attempt("a", 1, "error"), attempt("a", 2)])
    assert flaws(found) == {"spent": ["a"]}


def test_a_crashed_attempt_of_a_process_that_nothing_was_done_to_is_found() -> None:
    events = [enq("a"), start("a"), start("a", 2), end("a", 2), told("a"), death(8)]
    found = check(events, [job("a", by="a.2")], [attempt("a", 1, "crashed"), attempt("a", 2)])
    assert flaws(found) == {"crashed_unharmed": ["a"]}


def test_a_listener_told_twice_is_found_and_one_not_told_unless_its_process_died() -> None:
    events = [*done("a"), told("a"), enq("b"), start("b"), end("b")]
    rows = [job("a"), job("b")], [attempt("a"), attempt("b")]
    assert flaws(check(events, *rows)) == {"listener_dup": ["a"], "listener_missing": ["b"]}
    found = check([*events, death()], *rows)
    assert flaws(found) == {"listener_dup": ["a"]}
    assert found.untold == 1


def test_a_failed_job_must_have_run_and_its_handler_have_raised() -> None:
    events = [enq("a"), told("a", "failed"), enq("b"), start("b"), end("b", ok=False), told("b", "failed")]
    found = check(events, [job("a", "failed"), job("b", "failed")], [attempt("b", 1, "error")])
    assert flaws(found) == {"failed_unrun": ["a"]}


def test_who_failed_for_a_crash_must_have_been_alone_in_its_process() -> None:
    poison = [enq("a"), start("a"), told("a", "failed"), death()]
    rows = [job("a", "failed", crashes=1)], [attempt("a", 1, "crashed")]
    assert flaws(check(poison, *rows)) == {}
    neighbour = [enq("b"), start("b", t=1.5)]
    found = check([*poison, *neighbour], [*rows[0], job("b", "pending")], rows[1])
    assert flaws(found) == {"failed_innocent": ["a"], "lost": ["b"]}


def test_a_recovery_is_measured_from_the_healing_to_the_next_run() -> None:
    events: list[Event] = [
        {"t": 0.5, "ev": "fault", "what": "x"}, {"t": 1.0, "ev": "healed"}, start("a", t=1.25),
        {"t": 2.0, "ev": "healed"}, {"t": 2.1, "ev": "fault", "what": "x"}, start("b", t=2.5),
    ]  # fmt: skip
    found = check(events, [], [])
    assert (found.recoveries, found.faults) == ([0.25], 2)


def test_the_files_of_many_processes_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path / "1.jsonl"), Ledger(tmp_path / "2.jsonl")
    for ledger, k in ((first, "a"), (second, "b"), (first, "c")):
        ledger.note("enq_ok", k=k)
    first.close()
    second.close()
    assert [(event["ev"], event["k"]) for event in read(tmp_path)] == [("enq_ok", k) for k in "abc"]


def test_what_a_standby_never_received_is_not_lost_and_what_it_received_in_part_may_happen_again() -> None:
    events = [enq("a"), start("a"), *done("b"), start("b", run="b.again"), told("b")]
    rows = [job("b", by="b.again")], [attempt("b")]
    assert flaws(check(events, *rows)) == {"lost": ["a"], "unexplained": ["b"], "listener_dup": ["b"]}
    assert flaws(check(events, *rows, {"a"}, {"b"})) == {}
    freed = [enq("c"), start("c"), end("c"), start("c", 2), end("c", 2), told("c")]
    rows = [job("c", by="c.2")], [attempt("c", 1, "crashed"), attempt("c", 2)]
    assert flaws(check(freed, *rows, undone={"c"})) == {}
    assert flaws(check(freed, *rows)) == {"crashed_unharmed": ["c"]}
    assert flaws(check(events, [job("b", "running")], [], {"a"}, {"b"})) == {"lost": ["b"]}
