"""What a mutant is, and all of them: what each breaks, the text that it changes in steve/, and the test that must fail for it.

A text is as short as possible while its file has it only once, so that it survives edits around it. A text that does not fit
any more is an error, so that no mutant is left out unnoticed.
"""

from __future__ import annotations

from pathlib import Path


class Misfit(Exception):
    """The file does not have a mutant's text exactly once. The code has changed, and the mutant must follow."""


class Edit:
    """Puts `new` in the place of `old` in one file of steve/, which has `old` exactly once."""

    def __init__(self, file: str, old: str, new: str) -> None:
        self.file = file
        self.old = old
        self.new = new

    def made_in(self, text: str) -> str:
        """The text with this edit. Raises Misfit."""
        if (count := text.count(self.old)) != 1:
            raise Misfit(f"steve/{self.file} holds this {count} times, not once: {self.old!r}")
        return text.replace(self.old, self.new)


class Mutant:
    """`breaks`: what steve does then. `test`: the test under tests/ that must fail. `note`: what else there is to know."""

    def __init__(self, id: str, breaks: str, test: str, *edits: Edit, note: str = "") -> None:
        self.id = id
        self.breaks = breaks
        self.test = test
        self.edits = edits
        self.note = note

    def edited(self, steve: Path) -> dict[Path, str]:
        """The files of the package in that directory that it changes, with their new texts. Raises Misfit."""
        texts: dict[Path, str] = {}
        for edit in self.edits:
            file = steve / edit.file
            try:
                texts[file] = edit.made_in(texts.get(file) or file.read_text())
            except Misfit as misfit:
                raise Misfit(f"{self.id}: {misfit}") from None
        return texts

    def apply(self, steve: Path) -> None:
        """Make the edits in the package in that directory. Raises Misfit."""
        for file, text in self.edited(steve).items():
            file.write_text(text)


def chosen(ids: list[str]) -> list[Mutant]:
    """The mutants with these ids, in the order of the catalog. Without ids: all. Raises LookupError."""
    known = [mutant.id for mutant in MUTANTS]
    if unknown := [id for id in ids if id not in known]:
        raise LookupError(f"there is no mutant {', '.join(unknown)}; there are {', '.join(known)}")
    return [mutant for mutant in MUTANTS if mutant.id in ids or not ids]


MUTANTS = (
    # -- which run holds a job ----------------------------------------------------------------------------------------------
    Mutant(
        "M1",
        "an outcome is written though the job was taken away: no lease_no in the fence",
        "behaviour/test_logging.py::test_the_outcome_of_a_job_that_was_taken_away_is_dropped_with_one_warning",
        Edit("_database/sql/settle_jobs.sql", "and job.lease_no = verdict.lease_no", ""),
        Edit(
            "_database/sql/settle_jobs.sql",
            "and job.claimed_at = (%(claimed_ats)s::pg_catalog.timestamptz[])[verdict.claim]",
            "",
        ),
        note="Both edits are needed, because the time of the claim fences, too.",
    ),
    Mutant(
        "M1b",
        "an outcome is written on a job that is not running any more: no status in the fence",
        "behaviour/test_outage.py::test_a_settlement_whose_reply_is_lost_is_told_once_and_logged_once",
        Edit("_database/sql/settle_jobs.sql", "and (job.status = 'running') is true", ""),
    ),
    Mutant(
        "M1e",
        "a success at the first attempt whose reply was lost is not recognised: the witness reads the log alone",
        "behaviour/test_outage.py::test_a_settlement_whose_reply_is_lost_is_told_once_and_logged_once",
        Edit("_database/sql/find_settled.sql", "or (job.process = %(process)s", "or (false"),
    ),
    Mutant(
        "M1f",
        "a job that was finished by a later claim is taken for settled: no time of the claim in the witness",
        "database/test_settlement.py::test_a_job_that_was_finished_otherwise_is_not_taken_for_settled",
        Edit("_database/sql/find_settled.sql", "and job.claimed_at = given.claimed_at", ""),
    ),
    Mutant(
        "M1j",
        "a job that another process finished is taken for settled: no name in the witness",
        "database/test_settlement.py::test_a_job_that_was_finished_otherwise_is_not_taken_for_settled",
        Edit("_database/sql/find_settled.sql", "or (job.process = %(process)s", "or (job.process is not null"),
    ),
    Mutant(
        "M1k",
        "the attempt of another process under the same lease_no is taken for one's own: no name in the witness",
        "database/test_settlement.py::test_an_attempt_counts_only_if_this_process_made_it_after_its_claim_and_no_rescue_wrote_it",
        Edit("_database/sql/find_settled.sql", "and attempt.process = %(process)s ", ""),
    ),
    Mutant(
        "M1g",
        "a success at a later attempt is not written into the log",
        "behaviour/test_attempts.py::test_a_job_that_began_before_it_succeeded_has_all_its_attempts_in_the_log",
        Edit("_database/sql/settle_jobs.sql", "'success' and job.started_at is null", "'success'"),
    ),
    Mutant(
        "M1h",
        "a success at the first attempt is written into the log, too",
        "behaviour/test_attempts.py::test_a_job_that_succeeds_at_once_has_no_row_in_the_log",
        Edit("_database/sql/settle_jobs.sql", "cancelled is not null) and process is null", "cancelled is not null)"),
    ),
    Mutant(
        "M1i",
        "the history forgets a success at the first attempt",
        "behaviour/test_attempts.py::test_a_job_that_succeeds_at_once_has_no_row_in_the_log",
        Edit("_database/sql/list_attempts.sql", "where job.process is not null", "where false"),
    ),
    Mutant(
        "M2",
        "a rescue takes a job whose outcome is being written: it neither locks the row nor looks at its status again",
        "database/test_holding.py::test_a_rescue_skips_a_job_whose_outcome_is_being_written",
        Edit("_database/sql/rescue_jobs.sql", "limit %(n)s\n  for no key update skip locked", "limit %(n)s"),
        Edit("_database/sql/rescue_jobs.sql", "and (status = 'running') is true", ""),
        Edit(
            "_database/migrations/0001_expand_job_attempt_process.sql",
            "  constraint job_process_check check (process is null or status = 'completed'),\n",
            "",
        ),
        note="Each of the two is enough, and the table would refuse such a rescue: the outcome is lost only without all three.",
    ),
    Mutant(
        "M2b",
        "a rescue takes the jobs of a process that has sent a heartbeat since it was judged",
        "database/test_holding.py::test_a_process_that_has_beaten_since_it_was_judged_keeps_its_jobs",
        Edit(
            "_database/sql/rescue_jobs.sql",
            "and (%(own)s or extract(epoch from heartbeat_at)::double precision = %(heartbeat_at)s)",
            "and (%(own)s or %(heartbeat_at)s::double precision is not null)",
        ),
    ),
    Mutant(
        "M2c",
        "a rescue takes the jobs of a process that holds the lock of its row, as if it were dead",
        "database/test_holding.py::test_a_process_that_holds_the_lock_of_its_row_is_not_dead",
        Edit(
            "_database/sql/rescue_jobs.sql",
            "pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(%(lock)s || id, 0))",
            "%(lock)s || id is not null",
        ),
    ),
    Mutant(
        "M3",
        "a claim waits for another that is under way: no SKIP LOCKED",
        "database/test_holding.py::test_a_claim_skips_the_jobs_that_another_one_is_taking",
        Edit("_database/sql/claim_jobs.sql", "skip locked\n  ) candidate", ") candidate"),
    ),
    Mutant(
        "M3b",
        "two claims at once take the same jobs: no row lock",
        "database/test_holding.py::test_two_claims_at_once_never_take_the_same_job",
        Edit("_database/sql/claim_jobs.sql", "for no key update skip locked\n  ) candidate", ") candidate"),
        Edit(
            "_database/sql/claim_jobs.sql",
            "where ctid = any(array(\n    select place from scanned, found",
            "where uid = any(array(\n    select uid from scanned, found",
        ),
        Edit("_database/sql/claim_jobs.sql", "select place from scanned, ranked", "select uid from scanned, ranked"),
        Edit(
            "_database/sql/claim_jobs.sql",
            "select place from crashed\n",
            "select uid from {schema}.job where ctid = any(array(select place from crashed))\n",
        ),
        Edit("_database/sql/claim_jobs.sql", " and (status = 'pending') is true", ""),
        note="The mutant also finds rows by uid, because a row that another claim has changed is not found again at its place.",
    ),
    # -- what a handler and a listener may do -------------------------------------------------------------------------------
    Mutant(
        "M4",
        "what a listener raises is not caught",
        "engine/events/test_dispatcher.py::test_the_dispatcher_survives_whatever_a_listener_raises",
        Edit("_runtime/guard.py", "except BaseException", "except ()"),
        note="Listeners are called by a thread of their own, after the commit: the settler has no `try` to move the call into.",
    ),
    Mutant(
        "M4b",
        "listeners are called by the thread that settles",
        "behaviour/test_listeners.py::test_a_slow_listener_delays_the_others_but_not_the_settling",
        Edit(
            "_engine/settle/commits.py",
            "self._dispatcher.put(Event(verdict.job, process, verdict, settled, progress))",
            "self._listeners.tell(Event(verdict.job, process, verdict, settled))",
        ),
    ),
    Mutant(
        "M5",
        "a handler's SystemExit is no outcome: `except Exception`",
        "engine/work/test_worker.py::test_a_handler_that_raises_anything_ends_neither_its_thread_nor_its_chain",
        Edit("_engine/work/run.py", "except BaseException as error:  # SystemExit", "except Exception as error:  # SystemExit"),
    ),
    Mutant(
        "M5b",
        "an exception that is raised into a worker's thread from outside loses the job",
        "engine/work/test_worker.py::test_what_is_raised_into_a_run_from_outside_is_its_outcome",
        Edit(
            "_engine/work/worker.py",
            "except BaseException as error:  # raised into",
            "except Exception as error:  # raised into",
        ),
    ),
    Mutant(
        "M14",
        "a NUL in an error's text is sent as it is",
        "behaviour/test_outcomes.py::test_whatever_a_job_raises_is_recorded_and_tried_again_and_nothing_else_is_hurt",
        Edit("_model/json.py", r'return text.replace("\x00", "\ufffd")', "return text"),
    ),
    # -- the database is away -----------------------------------------------------------------------------------------------
    Mutant(
        "M6",
        "an outcome is given up after three tries to write it",
        "engine/settle/test_settler.py::test_without_a_deadline_it_never_gives_up",
        Edit(
            "_engine/settle/settler.py",
            "self._outage.failed(LOOP, error)\n        if self._is_past_deadline():",
            "self._tries = getattr(self, '_tries', 0) + 1\n        if self._tries > 3 or self._is_past_deadline():",
        ),
    ),
    Mutant(
        "M6b",
        "an outcome is dropped when the connection breaks while it is written",
        "engine/settle/test_settler.py::test_a_write_that_was_lost_with_its_connection_is_made_again",
        Edit("_engine/settle/settler.py", "self._wait(error)\n            else", "return\n            else"),
    ),
    Mutant(
        "M6c",
        "after a lost reply the settler does not ask what was written",
        "behaviour/test_outage.py::test_a_settlement_whose_reply_is_lost_is_told_once_and_logged_once",
        Edit("_engine/settle/settler.py", "landed |= self._database.find_written(group)", "pass"),
    ),
    Mutant(
        "M6d",
        "an outcome that PostgreSQL refuses takes its neighbours with it",
        "engine/settle/test_settler.py::test_a_group_that_is_refused_is_halved_until_each_poisoned_verdict_is_alone",
        Edit(
            "_engine/settle/settler.py",
            "self._settle(group[:middle], doubtful)",
            "[self._look_closer([one], error, doubtful) for one in group[:middle]]",
        ),
    ),
    Mutant(
        "M7",
        "a job whose reply was lost is sent again under another uid",
        "behaviour/test_outage.py::test_a_create_whose_reply_is_lost_stores_each_job_once",
        Edit(
            "_client/create.py",
            "return self._insert(ours, job, carries, ",
            "again = job._replace(uid_number=__import__('uuid').uuid4().int)\n"
            "            return self._insert(ours, job if next(tries) == 0 else again, carries, ",
        ),
    ),
    Mutant(
        "M7b",
        "a job that is to be part of the caller's transaction is stored on a connection of our own",
        "behaviour/test_connections.py::test_a_job_is_stored_in_the_callers_transaction",
        Edit(
            "_client/create.py",
            "return self._insert(theirs, _as_sent_by(theirs, job), wake, self._jobs.insert_job_for_caller)",
            "return self._calls.call(lambda ours: self._insert(ours, job, wake, self._jobs.insert_job))",
        ),
    ),
    Mutant(
        "M8",
        "a claim whose reply was lost is made again, and the claimer does not ask what the first one took",
        "behaviour/test_outage.py::test_a_claim_whose_reply_is_lost_loses_no_job",
        Edit(
            "_engine/claim/claimer.py",
            "could not be read\n            self.in_doubt.lose()",
            "could not be read\n            pass",
        ),
        note="The jobs that a claim took can be found by its claimed_at.",
    ),
    Mutant(
        "M8b",
        "a process that asks what a lost claim took also gets jobs that it already has",
        "database/test_holding.py::test_only_the_jobs_of_a_claim_whose_reply_was_lost_are_found",
        Edit("_database/sql/find_claimed.sql", "and claimed_at <> all(%(answered)s::pg_catalog.timestamptz[])", ""),
    ),
    # -- alive or not -------------------------------------------------------------------------------------------------------
    Mutant(
        "M9",
        "the heartbeat waits for a connection of the pool that callers have",
        "behaviour/test_alive.py::test_it_beats_while_callers_hold_every_connection_of_the_pool",
        Edit(
            "_database/connections.py",
            "heartbeat=self._loop(None",
            "heartbeat=(lambda *how: [loop := self._loop(*how), "
            "setattr(loop, 'call', lambda statement: self.call(statement, timeout=5.0))][0])(None",
        ),
        note="The heartbeat has a connection of its own, which it never gives back: the mutant takes that away.",
    ),
    Mutant(
        "M10",
        "after a restart of the server the jobs of processes that are not back yet are rescued: no grace",
        "model/test_process.py::test_the_judgment_on_a_process_that",
        Edit("_model/process.py", " and own.server_up >= tuning.server_age", ""),
        Edit("_model/process.py", "and own.server_up >= max(process.lease, tuning.server_age)", ""),
    ),
    Mutant(
        "M13",
        "a process counts as silent since its start, not since its heartbeat",
        "behaviour/test_alive.py::test_a_process_whose_handlers_outlive_stop_beats_on",
        Edit(
            "_database/sql/beat.sql",
            "epoch from heartbeat_at)::double precision as",
            "epoch from started_at)::double precision as",
        ),
        Edit("_database/sql/rescue_jobs.sql", "extract(epoch from heartbeat_at)", "extract(epoch from started_at)"),
        note="A rescue goes by the heartbeat of a process and its session's lock; no job has a lease of its own.",
    ),
    Mutant(
        "M17",
        "a crash is not counted",
        "behaviour/test_alive.py::test_the_job_of_a_killed_process_runs_elsewhere_long_before_its_lease_is_over",
        Edit("_database/sql/rescue_jobs.sql", "crashes = least(crashes + 1, attempts, 10000)", "crashes = crashes"),
    ),
    Mutant(
        "M17b",
        "one more process may die than max_crashes says",
        "behaviour/test_alive.py::test_a_job_that_kills_its_process_fails_and_its_neighbours_complete",
        Edit(
            "_engine/liveness/database.py",
            "dead, reason, taken, max_crashes=self._max_crashes",
            "dead, reason, taken, max_crashes=self._max_crashes + 1",
        ),
    ),
    Mutant(
        "M17c",
        "a job on its last chance is claimed like any other",
        "behaviour/test_alive.py::test_a_job_on_its_last_chance_runs_alone",
        Edit("_database/sql/claim_jobs.sql", "and (crashes + 1 >= %(max_crashes)s) = %(alone)s", ""),
        Edit("_database/sql/claim_jobs.sql", "exists (\n      select\n", "false and exists (\n      select\n"),
        note="The first edit alone changes nothing: the process that claimed the job sees its crashes and gives it back.",
    ),
    Mutant(
        "M17d",
        "a job on its last chance begins while others run",
        "behaviour/test_alive.py::test_a_job_on_its_last_chance_runs_alone",
        Edit("_engine/work/pool.py", "quiet = not is_running and self._outcomes.is_settled()", "quiet = True"),
    ),
    Mutant(
        "M17e",
        "a job on its last chance begins while outcomes of others are not in the database yet",
        "engine/work/test_pool.py::test_a_job_on_its_last_chance_waits_until_the_outcomes_of_others_are_written",
        Edit("_engine/work/pool.py", "quiet = not is_running and self._outcomes.is_settled()", "quiet = not is_running"),
    ),
    Mutant(
        "M17f",
        "a crash spends an attempt",
        "behaviour/test_retrying.py::test_crashes_spend_no_attempts",
        Edit("_model/outcome.py", "return job.attempts - job.crashes >= job", "return job.attempts >= job"),
        Edit("_model/outcome.py", "return job.attempts - job.crashes - (", "return job.attempts - ("),
    ),
    Mutant(
        "M13b",
        "a heartbeat that finds its row gone does not insert it again",
        "behaviour/test_alive.py::test_a_heartbeat_that_finds_its_row_gone_inserts_it_again",
        Edit("_database/sql/beat.sql", "where %(beat)s and not exists (select from beaten)", "where false"),
    ),
    # -- when a worker wakes ------------------------------------------------------------------------------------------------
    Mutant(
        "M12",
        "jobs are claimed that this process has no handler for",
        "behaviour/test_queues_and_priorities.py::test_types_without_a_handler_stay_pending_and_no_attempt_is_counted",
        Edit(
            "_database/sql/claim_jobs.sql",
            "and run_at <= pg_catalog.now()\n      and (%(any_type)s or type in (select type from known))",
            "and run_at <= pg_catalog.now()",
        ),
    ),
    Mutant(
        "M15",
        "a listening connection that was replaced does not listen",
        "behaviour/test_waking.py::test_a_listening_connection_that_breaks_is_replaced_and_a_claim_made",
        Edit(
            "_engine/claim/notifier.py",
            "if self._statements.listen(connection)",
            "if hasattr(self, '_listened') or setattr(self, '_listened', self._statements.listen(connection)) or True",
        ),
    ),
    Mutant(
        "M15b",
        "a wake-up that comes while a claim is under way is forgotten",
        "engine/claim/test_claimer.py::test_a_wake_up_while_a_claim_is_under_way_leads_to_another_claim",
        Edit(
            "_engine/claim/claimer.py",
            "self.buffer.expect(demand.n)\n",
            "self.buffer.expect(demand.n)\n        schedule.begin()\n",
        ),
    ),
    Mutant(
        "M15c",
        "a job that was created beside others, without a notification, is never announced",
        "client/test_coalescer.py::test_inserts_without_a_notification_are_paid_for_when_the_last_one_ends",
        Edit(
            "_client/coalescer.py", "elif stored:\n                self._is_owed = True", "elif stored:\n                pass"
        ),
    ),
    Mutant(
        "M15d",
        "a job that was committed late, below a watermark, is never found: there is only one full scan",
        "behaviour/test_waking.py::test_a_job_in_a_transaction_wakes_no_worker_before_the_commit",
        Edit(
            "_engine/claim/watermarks.py",
            "self._full_scan_at = self._clock() + self._tuning.full_scan_every * seconds\n            self.is_slow",
            "self._full_scan_at = self._clock() + 1e9\n            self.is_slow",
        ),
    ),
    Mutant(
        "M15e",
        "what the scanner finds below the watermarks is not handed on, and a job committed late waits for the poll",
        "behaviour/test_slow_scans.py::test_a_job_committed_late_behind_a_backlog_of_others_is_found",
        Edit("_engine/claim/watermarks.py", "self._looks.append(found)", "pass"),
    ),
    Mutant(
        "M15f",
        "what the scanner finds while a claim is under way lowers the watermark at once, and the end of the claim raises it",
        "engine/claim/test_watermarks.py::test_what_the_scanner_finds_while_a_claim_is_under_way_is_not_lost",
        Edit("_engine/claim/watermarks.py", "self._looks.append(found)", "[self._lower(*one) for one in found.items()]"),
    ),
    Mutant(
        "M15m",
        "after a slow full scan the first look below the watermarks waits for twenty times as long",
        "engine/claim/test_watermarks.py::test_a_slow_full_scan_makes_the_first_look_due_at_once",
        Edit("_engine/claim/watermarks.py", "self._full_scan_at = self._clock()  # the first", "pass  # the first"),
    ),
    Mutant(
        "M13d",
        "a process looks at the same number of others, however many of them are dead",
        "engine/liveness/test_rescue.py::test_one_process_rescues_a_fleet_that_is_gone",
        Edit("_engine/liveness/heartbeat.py", "return tuning.look_most + 2 * sum(", "return tuning.look_most + 0 * sum("),
    ),
    Mutant(
        "M13c",
        "what was seen of a process is forgotten when one look does not show it",
        "engine/liveness/test_rescue.py::test_what_was_seen_of_a_process_is_remembered_while_it_is_not_shown",
        Edit("_engine/liveness/rescue.py", "if now - shown_at > FORGET_SECONDS]", "if now > shown_at]"),
    ),
    Mutant(
        "M15g",
        "jobs that were passed over, since enough of their type were claimed, lie below the watermark",
        "database/test_claims.py::test_the_next_claim_finds_the_surplus_though_later_jobs_were_claimed",
        Edit("_engine/claim/watermarks.py", "for priority, place in reply.left_over:", "for priority, place in ():"),
    ),
    Mutant(
        "M15h",
        "watermarks do not pass the jobs of others",
        "database/test_claims.py::test_watermarks_pass_the_jobs_of_others",
        Edit("_engine/claim/watermarks.py", "elif end is not None and end > watermarks[priority]:", "elif False:"),
    ),
    Mutant(
        "M15i",
        "a crashed job is not claimed while full scans are slow",
        "behaviour/test_slow_scans.py::test_a_job_that_crashed_is_claimed",
        Edit("_engine/claim/sizer.py", "crashed=idle,", "crashed=idle if watermarks is None else 0,"),
    ),
    Mutant(
        "M15j",
        "a look that is asked for makes the next claim a full scan, however slow",
        "engine/claim/test_watermarks.py::test_no_claim_makes_a_slow_full_scan_unless_the_scanner_is_late",
        Edit("_engine/claim/watermarks.py", "min(self._full_scan_at, self._clock())", "0.0"),
    ),
    Mutant(
        "M15k",
        "the scheduled jobs of others hide the next one of this process",
        "behaviour/test_slow_scans.py::test_a_job_comes_due_among_the_scheduled_jobs_of_others",
        Edit("_database/sql/claim_jobs.sql", "when pg_catalog.count(*) = 16 then", "when false then"),
    ),
    Mutant(
        "M15l",
        "a priority whose first job is due later gets its watermark there, above the jobs that come before",
        "database/test_claims.py::test_the_heads_are_the_first_served_jobs_of_each_priority_and_never_in_the_future",
        Edit("_database/sql/find_heads.sql", "least(run_at, pg_catalog.now())", "run_at"),
    ),
    Mutant(
        "M16",
        "a job is due by the clock of the process that creates it",
        "behaviour/test_clock.py::test_a_process_whose_clock_is_a_day_wrong_works_like_any_other",
        Edit(
            "_database/statements/jobs.py",
            '"insert_job", parameters)',
            '"insert_job", parameters | {"run_at": job.terms.run_at or datetime.now().astimezone()})',
        ),
        note="No statement takes a time from the process, except the run_at that a user gives. The mutant's does.",
    ),
    # -- ends and beginnings ------------------------------------------------------------------------------------------------
    Mutant(
        "M11",
        "processes migrate without waiting for one another: no advisory lock",
        "database/test_migrations.py::test_one_of_ten_processes_makes_the_tables_and_all_go_on",
        Edit(
            "_database/migrations/__init__.py",
            "pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(%s, 0))",
            "pg_catalog.hashtextextended(%s, 0) is not null",
        ),
    ),
    Mutant(
        "M18",
        "a stop does not give back the jobs that were claimed and have not begun",
        "behaviour/test_start_stop.py::test_jobs_not_begun_are_given_back_at_once_though_a_handler_still_runs",
        Edit(
            "_engine/pools/pool.py",
            "self.parts.workers.stop()\n        self.parts.claimer.buffer.give_back()",
            "self.parts.workers.stop()",
        ),
    ),
    Mutant(
        "M19",
        "a snooze spends an attempt, and so does a job that is given back",
        "behaviour/test_retrying.py::test_a_snooze_postpones_the_job_and_leaves_no_attempt_and_no_history",
        Edit(
            "_database/sql/settle_jobs.sql",
            "attempts = job.attempts - (verdict.attempt_status is null and job.cancel_asked_at is null)::integer",
            "attempts = job.attempts",
        ),
    ),
    Mutant(
        "M20",
        "a job is tried once more than max_attempts says",
        "behaviour/test_retrying.py::test_a_job_is_tried_max_attempts_times_and_then_failed",
        Edit("_model/outcome.py", "job.crashes >= job.max_attempts", "job.crashes > job.max_attempts"),
    ),
    Mutant(
        "M20b",
        "a job that is retried by hand is tried once more than the call says",
        "behaviour/test_control.py::test_a_retry_may_name_how_often_the_job_may_fail",
        Edit(
            "_model/outcome.py",
            "return attempts_spent(job) >= (job.more()",
            "return attempts_spent(job) > (job.more()",
        ),
    ),
    Mutant(
        "M21",
        "an urgent job waits for its turn: no priority in the order of a claim",
        "behaviour/test_queues_and_priorities.py::test_a_higher_priority_goes_first_and_of_equal_priorities_the_older_job",
        Edit("_database/sql/claim_jobs.sql", "  ) candidate\n  limit", "  ) candidate\n  order by run_at, uid\n  limit"),
    ),
    Mutant(
        "M21b",
        "a claim takes more of a slow type than its limit says",
        "database/test_claims.py::test_the_surplus_of_a_type_is_passed_over_and_stays_pending_and_unlocked",
        Edit("_database/sql/claim_jobs.sql", "where rank <= most", "where true"),
    ),
    Mutant(
        "M21c",
        "of the jobs of one millisecond, those made by plain SQL come first: their uids have no part of it",
        "database/test_tables.py::test_the_uid_of_a_row_by_plain_sql_has_its_place_among_those_that_steve_makes",
        Edit("_database/migrations/0001_expand_job_attempt_process.sql", "* 4096000)::bigint", "* 1000)::bigint * 4096"),
    ),
    Mutant(
        "M22",
        "an error repeats to the caller what PostgreSQL quotes of a payload",
        "behaviour/test_secrets.py::test_what_postgresql_says_of_a_payload_is_not_repeated",
        Edit("_client/calls.py", "(SQLSTATE {error.sqlstate})", "({error.__cause__})"),
    ),
    # -- what happens around steve ------------------------------------------------------------------------------------------
    Mutant(
        "M23",
        "an outcome that PostgreSQL does not take fails its job, whatever the cause",
        "engine/settle/test_settler.py::test_an_outcome_that_is_not_taken_is_kept_as_it_is_until_it_is",
        Edit(
            "_engine/settle/settler.py",
            "if _can_be_written(self._database, less) and not _can_be_written(self._database, verdict):",
            "if True:",
        ),
    ),
    Mutant(
        "M23b",
        "an outcome that PostgreSQL does not take at present is given up",
        "engine/settle/test_settler.py::test_an_outcome_that_is_not_taken_is_kept_as_it_is_until_it_is",
        Edit("_engine/settle/settler.py", "self._postponed.defer(one)", "pass"),
    ),
    Mutant(
        "M23c",
        "a row in the log that another life of the job has left keeps its outcome from being written",
        "engine/settle/test_settler.py::test_a_row_of_the_log_from_another_life_of_the_job_is_removed",
        Edit("_engine/settle/settler.py", "self._database.forget_attempt(verdict)", "pass"),
    ),
    Mutant(
        "M24",
        "a process looks for jobs that it holds by the tables and not in fact only when there is a cause",
        "engine/liveness/test_reconcile.py::test_once_an_interval_it_looks_without_a_cause",
        Edit("_engine/liveness/reconcile.py", " or now >= self._next_at", ""),
    ),
    Mutant(
        "M24b",
        "a job that was claimed between two looks is freed: earlier looks do not count",
        "engine/liveness/test_reconcile.py::test_jobs_that_were_claimed_between_the_looks_are_not_freed",
        Edit(
            "_engine/liveness/reconcile.py",
            "{claim: self._unknown.get(claim, 0) + 1 for",
            "{claim: len(self._unknown) and self._tuning.reconcile_looks for",
        ),
    ),
    Mutant(
        "M24c",
        "a process whose outcome was dropped does not look at the tables",
        "engine/settle/test_settler.py::test_a_verdict_on_a_job_that_was_taken_away_is_dropped_with_a_warning",
        Edit("_engine/settle/settler.py", "self._commits.on_dropped()\n", "pass\n"),
    ),
    Mutant(
        "M25",
        "silence is judged by the server's clock: by the time in the heartbeat",
        "engine/liveness/test_rescue.py::test_silence_begins_when_a_heartbeat_is_first_seen",
        Edit(
            "_engine/liveness/rescue.py", "known is not None and known[0] == value", "known is not None and known[0] >= value"
        ),
    ),
    Mutant(
        "M25b",
        "a heartbeat that cannot be written gives up its session, and the process looks dead",
        "engine/liveness/test_heartbeat.py::test_a_beat_that_cannot_be_written_keeps_a_session_that_is_alive",
        Edit("_engine/liveness/heartbeat.py", "if not self._database.is_open():", "if True:"),
    ),
    Mutant(
        "M25c",
        "a process that lives and is taken for dead loses jobs twice for one verdict",
        "engine/liveness/test_rescue.py::test_each_finding_is_acted_on_once",
        Edit("_engine/liveness/rescue.py", "taken.add(verdict.job.uid)", "pass"),
    ),
    Mutant(
        "M1c",
        "an outcome is written on a later claim that was given the same lease_no: no time of the claim in the fence",
        "behaviour/test_held_by_nobody.py::test_a_run_that_the_tables_have_forgotten_writes_nothing_over_the_next_one_of_its_lease",
        Edit(
            "_database/sql/settle_jobs.sql",
            "and job.claimed_at = (%(claimed_ats)s::pg_catalog.timestamptz[])[verdict.claim]",
            "",
        ),
    ),
    Mutant(
        "M1d",
        "a run that ends takes a later run of its job off the list, whose claim was given the same lease_no",
        "behaviour/test_held_by_nobody.py::test_a_run_that_the_tables_have_forgotten_does_not_make_the_next_one_of_its_lease_lost",
        Edit("_engine/work/running.py", "self._jobs[id(job)] = job", "self._jobs[job.uid] = job"),
        Edit("_engine/work/running.py", "del self._jobs[id(job)]", "self._jobs.pop(job.uid, None)"),
    ),
    Mutant(
        "M26",
        "a process that compares the tables with what it runs frees nothing",
        "behaviour/test_held_by_nobody.py::test_a_row_that_is_put_back_as_it_was_while_it_ran_runs_again",
        Edit("_engine/liveness/reconcile.py", "self._free(lost)", "pass"),
    ),
    Mutant(
        "M26b",
        "a job of a claim whose reply was lost is freed, with a crash, before the claimer asks for it",
        "engine/liveness/test_liveness.py::test_while_the_reply_to_a_claim_is_lost_nothing_is_freed",
        Edit("_engine/liveness/liveness.py", "if self._engine.ask_what_was_lost():", "if False:"),
    ),
    Mutant(
        "M27",
        "values are converted by the adapters that the application has registered",
        "behaviour/test_administration.py::test_adapters_that_the_application_registers_change_nothing",
        Edit("_database/execute.py", "return _lenient_adapters() if unchecked else _adapters()", "return super().adapters"),
    ),
    Mutant(
        "M28",
        "a role's array_nulls turns the nulls in an outcome into words",
        "behaviour/test_session_settings.py::test_jobs_live_well_whatever_settings_their_role_carries",
        Edit("_database/execute.py", '"array_nulls": "on",', ""),
    ),
    # -- one job a key -----------------------------------------------------------------------------------------------------
    Mutant(
        "M90",
        "two jobs of one key may be open",
        "behaviour/test_unique.py::test_many_threads_that_create_one_key_make_one_job",
        Edit(
            "_database/migrations/0001_expand_job_attempt_process.sql",
            "create unique index job_unique",
            "create index job_unique",
        ),
    ),
    Mutant(
        "M90b",
        "a running job does not hold its key",
        "behaviour/test_unique.py::test_while_a_job_of_the_key_is_open_create_returns_it",
        Edit(
            "_database/migrations/0001_expand_job_attempt_process.sql",
            "where unique_key is not null and status not in (",
            "where unique_key is not null and status not in ('running', ",
        ),
    ),
    Mutant(
        "M91",
        "a create that is sent again after its job has ended makes another one",
        "behaviour/test_unique.py::test_a_job_that_is_sent_again_after_it_has_ended_is_not_made_twice",
        Edit(
            "_client/unique.py",
            "if resent and (known := self._known(job, self._find",
            "if False and (known := self._known(job, self._find",
        ),
        Edit(
            "_client/unique.py",
            "if (known := self._known(job, found)) is not None:\n            return known\n        holder",
            "holder",
        ),
    ),
    Mutant(
        "M91b",
        "a create takes its own job for that of another, if its first try is carried out late",
        "behaviour/test_unique.py::test_a_first_try_that_the_server_carries_out_late_is_no_conflict_for_the_second",
        Edit("_client/unique.py", "elif job.window is None and not resent and", "elif job.window is None and"),
    ),
    Mutant(
        "M92",
        "a replace that is sent again overwrites what another create wrote since",
        "behaviour/test_unique.py::test_a_replace_that_is_sent_again_does_not_undo_a_later_one",
        Edit("_database/sql/replace_jobs.sql", "  from changed\n), freed", "  from changed\n  where false\n), freed"),
    ),
    Mutant(
        "M93",
        "a replace beside a running job changes that job, whose handler has read the old payload: the update is lost",
        "behaviour/test_unique.py::test_replace_beside_a_running_job_makes_a_new_one_which_has_the_key",
        Edit("_database/sql/replace_jobs.sql", "held_status = 'pending' and (status = 'pending') is true", "true"),
    ),
    Mutant(
        "M94",
        "a create returns a job that has ended between the insertion and the look, as if it held the key",
        "behaviour/test_unique.py::test_if_the_holder_ends_before_the_look_the_job_is_inserted_after_all",
        Edit("_database/sql/find_holder.sql", " and status not in ('completed', 'failed', 'cancelled')", ""),
    ),
    Mutant(
        "M95",
        "a window is opened anew while it is open",
        "behaviour/test_unique.py::test_a_window_that_another_transaction_opens_counts_once_it_is_committed",
        Edit("_database/sql/insert_unique_jobs.sql", "  where opened.until <= pg_catalog.clock_timestamp()\n", ""),
    ),
    Mutant(
        "M96",
        "a window that was opened without a job stays open",
        "behaviour/test_unique.py::test_a_window_that_was_opened_without_a_job_is_closed_again",
        Edit("_client/unique.py", "            self._unique.close_windows(connection, [job])", "            pass"),
    ),
    Mutant(
        "M97",
        "a duplicate sends a notification",
        "behaviour/test_unique.py::test_a_duplicate_notifies_nobody",
        Edit("_client/create.py", "stored = not created.duplicate", "stored = True"),
        Edit("_client/coalescer.py", "(self._took_over and not stored)", "not stored"),
        Edit("_client/create.py", "if wake and _has_changed(created, jobs):", "if wake:"),
    ),
    Mutant(
        "M98",
        "a listener of a duplicate is told of a job that another create made",
        "behaviour/test_unique.py::test_on_done_is_not_called_for_a_duplicate",
        Edit(
            "manager.py",
            "        if job.duplicate:\n            listeners.drop_once(insert.uid)\n",
            "        listeners.add_once(job.uid, on_done)\n",
        ),
    ),
    # -- hooks and tasks ----------------------------------------------------------------------------------------------------
    Mutant(
        "M60",
        "a hook whose __exit__ returns True makes a failed attempt a completed one",
        "behaviour/test_hooks.py::test_a_hook_sees_what_the_handler_raised_and_cannot_swallow_it",
        Edit(
            "_runtime/hooks.py",
            "            raise raised\n        return result",
            "            return None  # type: ignore\n        return result",
        ),
    ),
    Mutant(
        "M60b",
        "a child that a handler forks leaves the parent's hooks, which may commit a transaction there",
        "behaviour/test_hooks.py::test_a_child_that_a_handler_forks_does_not_leave_the_hooks",
        Edit("_engine/work/run.py", "partial(call_here, handler, this.job)", "partial(handler, this.job)"),
    ),
    Mutant(
        "M60c",
        "stop() returns while worker threads are still in their hooks",
        "engine/upkeep/test_thread_hooks.py::test_the_wait_for_hooks_ends_when_all_threads_have_left",
        Edit("_engine/upkeep/threads.py", "departure.wait()", "pass"),
    ),
    Mutant(
        "M60d",
        "one thread takes the turn in which another one should leave its hooks",
        "engine/upkeep/test_thread_hooks.py::test_each_thread_leaves_its_hooks_although_one_is_busy",
        Edit(
            "_engine/upkeep/thread_hooks.py",
            "            self._left.add(threading.current_thread())\n            self.wait()",
            "            self._left.add(threading.current_thread())",
        ),
    ),
    Mutant(
        "M61",
        "a payload that does not fit a task's parameters is tried again",
        "behaviour/test_tasks.py::test_a_payload_that_cannot_be_decoded_fails_the_job_at_once_and_names_the_parameter",
        Edit(
            "_engine/work/run.py",
            'return Unusable(f"ArgumentNotDecodable: {flaw}")',
            'return Raised(f"ArgumentNotDecodable: {flaw}", "")',
        ),
    ),
    Mutant(
        "M61b",
        "an object of a subclass is stored as one of the annotated class, and loses what the subclass adds",
        "model/test_arguments.py::test_a_value_of_another_type_is_a_type_error_that_names_its_place",
        Edit("_model/codec.py", "if type(value) is not kind:  # an object", "if not isinstance(value, kind):  # an object"),
    ),
    # -- jobs that are to be cancelled, and jobs that expire ----------------------------------------------------------------
    Mutant(
        "M40",
        "a job that was to be cancelled is tried again after an error",
        "database/test_settlement.py::test_a_settlement_honours_a_cancel_and_is_recognised_by_its_row_in_the_log",
        Edit(
            "_database/sql/settle_jobs.sql",
            "when job.cancel_asked_at is not null and verdict.status in ('pending', 'failed') then 'cancelled'",
            "when false then ''",
        ),
        Edit(
            "_database/sql/settle_jobs.sql",
            "claimed_at = case when verdict.status = 'pending' and job.cancel_asked_at is null",
            "claimed_at = case when verdict.status = 'pending'",
        ),
        Edit(
            "_database/sql/settle_jobs.sql",
            "when verdict.status = 'pending' and job.cancel_asked_at is null then null\n",
            "when verdict.status = 'pending' then null\n",
        ),
        note="All three edits are needed, because the table allows no pending job with a completed_at.",
    ),
    Mutant(
        "M40b",
        "a cancel takes the result of a job whose handler returned all the same",
        "database/test_settlement.py::test_a_job_that_completed_or_was_cancelled_by_its_handler_is_not_changed_by_a_cancel",
        Edit(
            "_database/sql/settle_jobs.sql",
            "verdict.status in ('pending', 'failed') then 'cancelled'\n",
            "verdict.status in ('pending', 'failed', 'completed') then 'cancelled'\n",
        ),
        Edit(
            "_database/sql/settle_jobs.sql",
            "'success' and job.started_at is null then",
            "'success' and job.cancel_asked_at is null then",
        ),
        note="The second edit is needed, because the table allows the name of a process only in the row of a completed job.",
    ),
    Mutant(
        "M40c",
        "a snoozed or unbegun job that is cancelled leaves no row in the log: a lost reply to that hides it from the listeners",
        "database/test_settlement.py::test_a_settlement_honours_a_cancel_and_is_recognised_by_its_row_in_the_log",
        Edit(
            "_database/sql/settle_jobs.sql",
            "(attempt_status is not null or cancelled is not null)",
            "attempt_status is not null",
        ),
    ),
    Mutant(
        "M40d",
        "listeners are told what the handler's outcome would have become, not that the job was cancelled",
        "engine/settle/test_settler.py::test_what_was_written_is_told_if_somebody_had_asked_to_cancel_the_job",
        Edit("_engine/settle/settler.py", "verdict = _as_cancelled(verdict, at.cancelled)", "pass"),
    ),
    Mutant(
        "M41",
        "a rescue runs a job again that was to be cancelled",
        "database/test_holding.py::test_a_rescue_honours_a_cancel_and_the_log_says_how_the_attempt_ended",
        Edit("_database/sql/rescue_jobs.sql", "when cancel_asked_at is not null then 'cancelled'", ""),
        Edit(
            "_database/sql/rescue_jobs.sql",
            "completed_at = case when crashes + 1 >= %(max_crashes)s or cancel_asked_at is not null then",
            "completed_at = case when crashes + 1 >= %(max_crashes)s then",
        ),
        note="Both edits are needed, because the table allows no pending job with a completed_at.",
    ),
    Mutant(
        "M41b",
        "the row that a rescue wrote for a cancelled job is taken for a settlement of the process that lost it",
        "database/test_settlement.py::test_a_row_that_a_rescue_wrote_for_a_cancelled_job_proves_no_settlement",
        Edit("_database/sql/find_settled.sql", "and attempt.error_type is distinct from 'steve.Crashed'", ""),
    ),
    Mutant(
        "M42",
        "a job in the buffer begins though the process has heard that it is to be cancelled",
        "engine/work/test_worker.py::test_a_job_in_the_buffer_that_is_to_be_cancelled_never_begins_and_goes_back",
        Edit("_engine/work/worker.py", "and not self.running.signals.must_not_begin(job)", ""),
    ),
    Mutant(
        "M42b",
        "a handler that waits is not woken when its job is to be cancelled",
        "engine/work/test_signals.py::test_a_handler_that_waits_is_woken_when_its_job_is_to_be_cancelled_and_others_are_not",
        Edit("_engine/work/signals.py", "or claim in self._lost or claim in self._cancelled", "or claim in self._lost"),
    ),
    Mutant(
        "M43",
        "a job that is claimed too late begins",
        "engine/claim/test_buffer.py::test_a_job_whose_time_to_begin_is_over_is_not_taken",
        Edit(
            "_engine/claim/buffer.py", "if job.extras is None or not is_overdue(job, self._clock() - claimed_at):", "if True:"
        ),
    ),
    Mutant(
        "M43b",
        "a job that began in time is cancelled before its second attempt",
        "model/test_outcome.py::test_a_job_that_has_not_begun_in_time_must_not_begin",
        Edit("_model/outcome.py", "if job.extras is None or job.started_at is not None:", "if job.extras is None:"),
    ),
    Mutant(
        "M43c",
        "a job that nobody claims expires never",
        "behaviour/test_asked_to_cancel.py::test_a_job_that_nobody_claims_expires_and_one_that_has_begun_before_does_not",
        Edit("_database/sql/expire_jobs.sql", "and expires_at <= pg_catalog.now()", "and expires_at <= '-infinity'"),
    ),
    Mutant(
        "M44",
        "failures before a retry by hand count",
        "model/test_outcome.py::test_the_verdict_follows_from_the_job_and_the_outcome",
        Edit("_model/outcome.py", " - (job.more().forgiven or 0)", ""),
    ),
    # -- locks of others ----------------------------------------------------------------------------------------------------
    Mutant(
        "M45",
        "a user's open transaction over a running row holds up the outcomes of all jobs",
        "behaviour/test_asked_to_cancel.py::test_an_open_transaction_on_a_running_row_holds_up_no_other_outcome",
        Edit("_database/connections.py", "prepare_for_settling(self._tuning.lock_patience)", "prepare_for_loop"),
    ),
    Mutant(
        "M45b",
        "an outcome that is set aside counts as unknown, so that its job is freed and runs again",
        "engine/settle/test_settler.py::test_a_verdict_whose_row_is_locked_is_set_aside_and_the_others_are_written",
        Edit("_engine/settle/postponed.py", "return self._queue.deferred + self._queue.aside", "return self._queue.deferred"),
    ),
    Mutant(
        "M45c",
        "each locked row holds up a settlement once more",
        "engine/settle/test_settler.py::test_after_a_locked_row_no_settlement_waits_for_another_one",
        Edit(
            "_engine/settle/aside.py",
            "self._careful_until = time.monotonic() + self._tuning.aside_silent",
            "self._careful_until = time.monotonic() + 0.001",
        ),
    ),
    Mutant(
        "M45d",
        "an outcome that is set aside is lost if the job's row was locked by the try whose reply was lost",
        "engine/settle/test_settler.py::test_a_row_that_was_locked_by_a_try_whose_reply_was_lost_is_looked_up",
        Edit("_engine/settle/postponed.py", "return before._replace(verdict=verdict, doubtful=doubtful)", "return before"),
        Edit(
            "_engine/settle/postponed.py",
            "return Deferred(verdict, since, doubtful, False)",
            "return Deferred(verdict, since, False, False)",
        ),
    ),
    Mutant(
        "M45e",
        "an outcome is dropped because its job's row is locked",
        "database/test_settlement.py::test_a_settlement_passes_locked_rows_by_and_tells_them_from_those_that_are_not_held",
        Edit("_database/statements/settlement.py", "if key in held}", "if False}"),
    ),
    # -- who may change a job -----------------------------------------------------------------------------------------------
    Mutant(
        "M70",
        "a job that has ended is cancelled: no status in the guard",
        "behaviour/test_control.py::test_a_call_changes_jobs_of_its_statuses_and_refuses_all_others",
        Edit("_database/sql/cancel_job.sql", " and (status in ('pending', 'running')) is true", ""),
        Edit(
            "_database/sql/cancel_job.sql",
            "case when status = 'pending' then pg_catalog.statement_timestamp() end",
            "case when status = 'pending' then pg_catalog.statement_timestamp() else completed_at end",
        ),
        note="Both edits are needed, because a constraint of the table guards, too.",
    ),
    Mutant(
        "M70b",
        "a job that runs is deleted: no status in the guard",
        "behaviour/test_control.py::test_a_call_changes_jobs_of_its_statuses_and_refuses_all_others",
        Edit("_database/sql/delete_job.sql", " and (status in ('completed', 'failed', 'cancelled')) is true", ""),
    ),
    Mutant(
        "M71",
        "the attempt of a completed job is lost when the job is retried",
        "behaviour/test_control.py::test_a_completed_job_is_retried_only_if_asked_and_its_attempt_stays",
        Edit("_database/fragments.py", "  from of_attempt\n  where (select", "  from of_attempt\n  where false and (select"),
    ),
    Mutant(
        "M71b",
        "a row that was left from another life of the job stays in the place of its attempt",
        "behaviour/test_control.py::test_the_attempt_of_a_retried_job_replaces_a_row_that_was_left_from_another_life",
        Edit("_database/fragments.py", "where attempt.job_uid = any(array[of_attempt.uid])", "where false"),
    ),
    Mutant(
        "M72",
        "the failures before a retry count",
        "behaviour/test_control.py::test_a_retried_job_may_fail_as_often_as_it_was_created_with",
        Edit("_database/fragments.py", "forgiven = nullif(attempts - crashes, 0)", "forgiven = null"),
    ),
    Mutant(
        "M73",
        "a call for many jobs waits for locks that others hold",
        "behaviour/test_bulk.py::test_a_locked_job_holds_up_no_other_and_is_skipped_if_it_stays_locked",
        Edit("_database/sql/cancel_jobs.sql", "for no key update skip locked", "for no key update"),
    ),
    Mutant(
        "M73b",
        "a call for many jobs touches jobs that are created after it has begun, below its last uid",
        "behaviour/test_bulk.py::test_what_is_created_after_the_call_has_begun_is_not_touched",
        Edit("_database/fragments.py", "and created_at <= %(begun_at)s::pg_catalog.timestamptz", ""),
    ),
    Mutant(
        "M73c",
        "a call for many jobs touches jobs that are created after it has begun, above its last uid",
        "behaviour/test_bulk.py::test_what_is_created_after_the_call_has_begun_is_not_touched",
        Edit("_database/fragments.py", "and created_at <= %(begun_at)s::pg_catalog.timestamptz", ""),
        Edit("_database/fragments.py", "and uid <= %(last)s::pg_catalog.uuid", ""),
    ),
    Mutant(
        "M73d",
        "two processes of a fleet prune at once",
        "behaviour/test_prune.py::test_one_process_at_a_time_prunes",
        Edit("_database/sql/take_turn.sql", "duty.kept_at <= excluded.kept_at - %(every)s::interval", "true"),
    ),
    Mutant(
        "M74",
        "a process that missed the notification never hears of a cancel",
        "behaviour/test_control.py::test_a_handler_sees_that_another_process_asked_to_cancel",
        Edit("_engine/liveness/cancels.py", "if uids:", "if False:"),
    ),
    Mutant(
        "M44b",
        "a cancel wakes the claimer and is handed to nobody",
        "engine/claim/test_notifier.py::test_a_cancel_is_handed_on_and_wakes_nobody",
        Edit("_engine/claim/notifier.py", 'if word == "cancel":', "if False:"),
    ),
    Mutant(
        "M75",
        "the audit counts one job for each transaction",
        "behaviour/test_audit.py::test_what_an_interrupted_call_has_changed_is_in_the_audit",
        Edit("_client/audit.py", "if count := done(result):", "if (count := 1) and done(result):"),
    ),
    # -- timeouts -------------------------------------------------------------------------------------------------------
    Mutant(
        "M100",
        "the value that a handler has returned is lost when TimeLimit was set before",
        "engine/work/test_window.py::test_what_is_set_while_c_code_runs_comes_too_late_if_the_handler_returns_from_it",
        Edit("_engine/work/window.py", "values[0]  # calls", "values[0] = handler(argument)  # calls"),
    ),
    Mutant(
        "M100a",
        "what is raised right after the handler's call leaves it",
        "engine/work/test_window.py::test_what_is_raised_while_the_window_is_closed_is_caught",
        Edit("_engine/work/window.py", "pass  # it comes too late", "raise"),
    ),
    Mutant(
        "M100b",
        "a handler is interrupted twice",
        "engine/work/test_window.py::test_a_handler_is_interrupted_once",
        Edit("_engine/work/window.py", "if self.was_set or self._thread is None:", "if self._thread is None:"),
    ),
    Mutant(
        "M100c",
        "a handler is interrupted within a block that shuts the window",
        "engine/work/test_window.py::test_while_the_window_is_shut_nothing_is_raised",
        Edit("_engine/work/window.py", "if self._shut:", "if False:"),
    ),
    Mutant(
        "M100e",
        "the hooks around a handler are interrupted",
        "behaviour/test_timeouts.py::test_a_hook_that_goes_on_beyond_the_deadline_is_not_interrupted",
        Edit("_engine/work/setup.py", "return handler if window is None else partial(window.call, handler)", "return handler"),
        Edit(
            "_engine/work/run.py",
            "context.run(_call, handler, this, max_result_bytes, claimed, terms_of, setup)",
            "(setup.limit.window.call if setup and setup.limit and setup.limit.window else lambda call, setup: call(setup))("
            "lambda setup: context.run(_call, handler, this, max_result_bytes, claimed, terms_of, setup), setup)",
        ),
    ),
    Mutant(
        "M100f",
        "a handler is interrupted within the wait of its run, and the lock of all runs is never released",
        "engine/work/test_timed_out.py::test_a_handler_is_not_interrupted_while_it_waits_with_its_run",
        Edit("run.py", "with uninterrupted():\n            was_stopped", "if True:\n            was_stopped"),
    ),
    Mutant(
        "M100g",
        "a handler is interrupted in the middle of a create",
        "behaviour/test_timeouts.py::test_all_of_a_create_is_uninterrupted",
        Edit(
            "_client/client.py",
            "with uninterrupted():\n            return self._creator.create(insert",
            "if True:\n            return self._creator.create(insert",
        ),
    ),
    Mutant(
        "M101",
        "a cancel hits the statement after the block",
        "behaviour/test_timeouts.py::test_leaving_the_block_waits_for_a_cancel_under_way",
        Edit(
            "_engine/work/interrupts.py",
            "is_quiet = self._sending.acquire(timeout=PATIENCE)",
            "is_quiet = self._sending.acquire(blocking=False) or None",
        ),
        Edit(
            "_engine/work/interrupts.py",
            "        else:\n            logger",
            "        elif is_quiet is False:\n            logger",
        ),
    ),
    Mutant(
        "M101b",
        "a cancel that hangs holds up all other deadlines",
        "behaviour/test_timeouts.py::test_a_cancel_that_hangs_holds_up_no_other_deadline",
        Edit(
            "_engine/work/interrupts.py",
            'threading.Thread(target=self._send, name="steve-interrupt", daemon=True).start()',
            "self._send()",
        ),
    ),
    Mutant(
        "M101c",
        "a statement that begins after the deadline runs to its end",
        "behaviour/test_timeouts.py::test_in_the_block_a_statement_after_the_deadline_is_cancelled_too",
        Edit("_engine/work/interrupts.py", "        return now + AGAIN", "        return None"),
    ),
    Mutant(
        "M102",
        "an error that has nothing to do with the deadline is called TimedOut",
        "engine/work/test_timed_out.py::test_an_error_that_has_another_cause_keeps_its_name",
        Edit("_engine/work/limit.py", "if limit.was_cancelled and is_cancellation(one):", "if is_cancellation(one):"),
    ),
    Mutant(
        "M102b",
        "the timeout of the handler goes before that of create",
        "engine/work/test_timed_out.py::test_the_timeout_is_that_of_create_else_that_of_the_handler_else_that_of_the_manager",
        Edit(
            "_engine/work/limit.py",
            "if timeout is None and terms is not None:",
            "if terms is not None and terms.timeout is not None:",
        ),
    ),
    Mutant(
        "M103",
        "stuck handlers starve the manager",
        "behaviour/test_stuck.py::test_others_run_in_the_place_of_a_stuck_handler_and_when_it_returns_nothing_is_left_over",
        Edit("_engine/work/stuck.py", "while len(self._turns.slots) < wanted and self._turns.open_slot():", "while False:"),
    ),
    Mutant(
        "M103b",
        "a slot stays open when the stuck handler has returned",
        "behaviour/test_stuck.py::test_others_run_in_the_place_of_a_stuck_handler_and_when_it_returns_nothing_is_left_over",
        Edit(
            "_engine/work/stuck.py",
            "while len(self._turns.slots) > wanted and self._turns.close_slot(threads):",
            "while False:",
        ),
    ),
    Mutant(
        "M103c",
        "there are as many slots as stuck handlers, without end",
        "behaviour/test_stuck.py::test_there_are_no_more_slots_than_workers_and_health_says_when_that_is_not_enough",
        Edit(
            "_engine/work/stuck.py", "wanted = min(len(self._limits), self._turns.without_slots)", "wanted = len(self._limits)"
        ),
    ),
    Mutant(
        "M103d",
        "a stuck job on its last chance holds up all others",
        "behaviour/test_stuck.py::test_a_stuck_job_on_its_last_chance_holds_up_no_others",
        Edit("_engine/work/stuck.py", "if self._turns.let_go_idle(limit.thread):", "if False:"),
    ),
    Mutant(
        "M103e",
        "the slot of another stuck handler is closed",
        "engine/work/test_turns.py::test_the_slot_of_a_stuck_handler_is_not_the_one_that_is_closed",
        Edit("_engine/work/turns.py", "(slot for slot in self.slots if not slot.is_of(stuck))", "self.slots"),
    ),
    # -- exactly once ---------------------------------------------------------------------------------------------------------
    Mutant(
        "M150",
        "a lost job is completed all the same: no lease in the fence of complete()",
        "behaviour/test_complete.py::test_a_lost_job_that_runs_under_another_claim_cannot_be_completed",
        Edit("_database/sql/complete_job.sql", "    and lease_no = %(lease_no)s::bigint\n", ""),
        Edit("_database/sql/complete_job.sql", "    and claimed_at = %(claimed_at)s::pg_catalog.timestamptz\n", ""),
    ),
    Mutant(
        "M150b",
        "a job that runs under the same lease elsewhere is completed: no time of the claim in the fence of complete()",
        "behaviour/test_complete.py::test_a_lost_job_that_runs_under_another_claim_cannot_be_completed",
        Edit("_database/sql/complete_job.sql", "    and claimed_at = %(claimed_at)s::pg_catalog.timestamptz\n", ""),
    ),
    Mutant(
        "M150c",
        "a job is completed twice: no status in the fence of complete()",
        "behaviour/test_complete.py::test_a_second_completion_raises_and_undoes_what_is_written_with_it",
        Edit("_database/sql/complete_job.sql", "    and (status = 'running') is true\n", ""),
    ),
    Mutant(
        "M151",
        "a handler that catches LeaseLost commits what it has done for a lost job",
        "behaviour/test_complete.py::test_a_lost_job_raises_and_its_transaction_cannot_be_committed_even_if_the_handler_catches_that",
        Edit("_engine/work/completions.py", "            self._statements.abort_transaction(connection, str(error))\n", ""),
    ),
    Mutant(
        "M152",
        "what was committed is never told: the database is not asked",
        "engine/settle/test_completions.py::test_what_was_committed_is_told_whatever_the_handler_did_then",
        Edit("_engine/settle/settler.py", "                if completing:\n", "                if False:\n"),
    ),
    Mutant(
        "M152b",
        "an error that was stored is told as a completion, though the effects were rolled back",
        "database/test_settlement.py::test_of_attempts_that_ended_otherwise_none_is_taken_for_a_completion",
        Edit("_database/statements/settlement.py", ' if row[7] == "success"', ""),
    ),
    Mutant(
        "M152c",
        "after a lost reply the result that was rolled back is told",
        "engine/settle/test_completions.py::test_after_a_lost_reply_the_row_says_which_result_was_stored",
        Edit("_engine/settle/completions.py", "result if is_kept else verdict.completed.result", "verdict.completed.result"),
    ),
    Mutant(
        "M152d",
        "an outcome that was written before the look failed is dropped",
        "engine/settle/test_completions.py::test_if_the_look_fails_nothing_that_was_written_before_is_dropped",
        Edit(
            "_engine/settle/settler.py",
            "                    doubtful = True  # if the next statement fails, all is done again\n",
            "",
        ),
    ),
    Mutant(
        "M153",
        "an open transaction with a completion holds up all outcomes",
        "engine/settle/test_completions.py::test_no_completion_waits_for_a_lock",
        Edit("_engine/settle/settler.py", "is_careful = completing or self", "is_careful = self"),
    ),
    Mutant(
        "M154",
        "an open transaction with a completion is taken for a lost job",
        "behaviour/test_complete.py::test_a_transaction_that_the_handler_leaves_open_decides_later_and_holds_up_nothing",
        Edit(
            "_database/statements/settlement.py", "return {place for place, key in keys.items() if key in held}", "return set()"
        ),
    ),
    Mutant(
        "M155",
        "the run's own transaction commits the effects and not the job",
        "behaviour/test_complete.py::test_a_transaction_of_the_run_completes_the_job_at_its_end",
        Edit("_engine/work/completions.py", "                self._complete_at_end(run, connection, before)\n", ""),
    ),
    Mutant(
        "M155b",
        "the run's own transaction ends without the completion that a savepoint has undone",
        "behaviour/test_complete.py::test_a_transaction_of_the_run_completes_though_a_savepoint_in_it_was_rolled_back",
        Edit("_engine/work/completions.py", "if lease is None or lease.status != Status.COMPLETED:", "if lease is None:"),
    ),
    Mutant(
        "M156",
        "a thread that a handler left behind completes the job later",
        "behaviour/test_complete.py::test_a_thread_that_the_handler_left_behind_cannot_complete_the_job",
        Edit("run.py", "    if run._is_over:", "    if False:"),
    ),
    Mutant(
        "M156b",
        "the child of a fork completes the job of its parent",
        "behaviour/test_complete.py::test_the_child_of_a_fork_in_the_handler_cannot_complete_the_job",
        Edit("_engine/work/completions.py", "if os.getpid() != self._pid:", "if False:"),
    ),
    Mutant(
        "M156c",
        "a completion in autocommit mode ends the job alone",
        "behaviour/test_complete.py::test_outside_a_transaction_nothing_is_completed",
        Edit("_engine/work/completions.py", "if is_alone(theirs):", "if False:"),
    ),
    Mutant(
        "M157",
        "a run that has completed its job hears that the job was lost",
        "engine/work/test_running.py::test_a_job_that_its_handler_has_completed_is_not_lost",
        Edit("_engine/work/running.py", "set(lost).difference(self.completing)", "set(lost)"),
    ),
    Mutant(
        "M158",
        "a later attempt that completes its job has no row in the log",
        "database/test_settlement.py::test_a_completion_writes_what_a_settlement_would_and_is_recognised",
        Edit("_database/sql/complete_job.sql", "where process is null and (select", "where false and (select"),
    ),
    Mutant(
        "M158b",
        "a row that was left from another life of the job stops the completion",
        "behaviour/test_complete.py::test_a_row_left_from_another_life_of_the_job_does_not_stop_the_completion",
        Edit("_database/sql/complete_job.sql", "  where completed.process is null\n", "  where false\n"),
    ),
    Mutant(
        "M159",
        "a second completion beside an open one waits for ever",
        "behaviour/test_complete.py::test_a_completion_beside_an_open_one_raises_instead_of_waiting_for_ever",
        Edit(
            "_engine/work/completions.py",
            "locked = again and self._statements.is_locked(connection, claim.uid)",
            "locked = False",
        ),
    ),
    # -- waiting ------------------------------------------------------------------------------------------------------------
    Mutant(
        "M120",
        "a settlement tells nobody who waits for its jobs",
        "behaviour/test_waiting.py::test_a_process_that_starts_after_the_announcement_learns_of_it_by_its_look",
        Edit("_database/statements/settlement.py", 'name = "settle_jobs_and_tell" if wanted.tell else', "name ="),
    ),
    Mutant(
        "M120b",
        "a completion in the transaction of its handler tells nobody who waits",
        "behaviour/test_waiting.py::test_a_completion_in_the_transaction_of_its_handler_is_heard_of_at_its_commit",
        Edit("_engine/wiring.py", "awaited=lambda: settings.notify and engine.awaited.now()", "awaited=lambda: False"),
    ),
    Mutant(
        "M121",
        "every settlement sends a notification, whether anybody waits or not",
        "behaviour/test_waiting.py::test_where_nobody_waits_there_is_no_notification_no_row_and_no_thread",
        Edit("_engine/settle/awaited.py", "return self._clock() < self._until", "return True"),
    ),
    Mutant(
        "M122",
        "a process that missed the announcement never learns that somebody waits",
        "behaviour/test_waiting.py::test_a_process_that_starts_after_the_announcement_learns_of_it_by_its_look",
        Edit("_engine/liveness/liveness.py", "self._engine.awaited.hear(look.awaited)", "pass"),
    ),
    Mutant(
        "M123",
        "an expired job tells nobody who waits for it",
        "behaviour/test_waiting.py::test_the_expiry_of_a_job_that_nobody_claims_is_heard_of",
        Edit("_database/sql/expire_jobs.sql", "where %(notify)s and exists", "where false and %(notify)s and exists"),
    ),
    Mutant(
        "M124",
        "a rescue that ends a job tells nobody who waits for it",
        "behaviour/test_waiting.py::test_the_end_by_a_rescue_is_heard_of",
        Edit("_database/sql/rescue_jobs.sql", "exists (select from rescued where completed_at is not null)", "false"),
    ),
    Mutant(
        "M125",
        "a snoozed job whose cancel was asked tells nobody who waits for it",
        "behaviour/test_waiting.py::test_a_snoozed_job_whose_cancel_was_asked_is_heard_of",
        Edit("_database/statements/settlement.py", "if is_untold and any", "if False and any"),
    ),
    Mutant(
        "M126",
        "after a lost connection the notifications that were missed are not made up for",
        "behaviour/test_waiting.py::test_waits_survive_cut_connections_and_an_outage",
        Edit("_waits/session.py", 'return ["", *heard] if is_new else heard', "return heard"),
        Edit("_waits/session.py", 'return [""] if is_first else []', "return []"),
    ),
    Mutant(
        "M127",
        "a job is gone although its transaction may be open",
        "waits/test_book.py::test_a_job_that_nobody_has_seen_is_gone_after_ten_seconds",
        Edit("_waits/book.py", "return job.was_seen or (", "return job.was_seen or True or ("),
    ),
    Mutant(
        "M128",
        "futures of a manager that is stopped hang",
        "behaviour/test_waiting.py::test_what_ended_just_before_the_stop_has_its_answer",
        Edit("_engine/runner.py", "            self.on_stopped()\n", ""),
    ),
    Mutant(
        "M129",
        "futures hang after request_stop() although the handlers have returned",
        "behaviour/test_waiting.py::test_after_request_stop_the_futures_end_when_the_handlers_have_returned",
        Edit("_waits/loop.py", "if wait.stops != manager.stops]", "if False]"),
    ),
    Mutant(
        "M130",
        "a future that is given up cancels a job that runs",
        "behaviour/test_waiting.py::test_a_future_that_is_cancelled_cancels_its_job_unless_that_runs",
        Edit("_waits/database.py", "Matching([str(Status.PENDING)],", "Matching([str(Status.PENDING), str(Status.RUNNING)],"),
    ),
    Mutant(
        "M131",
        "in the child of a fork the futures of the parent hang",
        "behaviour/test_waiting.py::test_after_a_fork_parent_and_child_wait_each_by_itself",
        Edit("_waits/waits.py", "            future.abandon_after_fork()\n", "            pass\n"),
    ),
    Mutant(
        "M132",
        "a thousand waits look as often as they hear of something",
        "waits/test_pace.py::test_looks_are_made_at_a_bounded_rate_however_often_there_is_a_cause",
        Edit("_waits/pace.py", "self._credit -= 1.0", "pass"),
    ),
    Mutant(
        "M133",
        "a program hangs at its exit while a thread waits for a job",
        "behaviour/test_waiting.py::test_a_program_that_ends_while_a_thread_waits_ends",
        Edit("_waits/waits.py", "            interpreter.ends_last(loop)\n", ""),
    ),
    Mutant(
        "M134",
        "a job whose row cannot be read fails the waits for all jobs",
        "behaviour/test_waiting.py::test_a_job_whose_row_cannot_be_read_fails_its_own_waits_alone",
        Edit("_waits/loop.py", "if len(uids) > 1:", "if False:"),
    ),
    Mutant(
        "M135",
        "the functions that wait for the end of a future are called under its lock",
        "waits/test_futures.py::test_the_functions_that_wait_for_its_end_are_not_called_under_its_lock",
        Edit(
            "_waits/futures.py",
            "        if not super().cancel():\n            return False",
            "        with self._condition:\n            if not super().cancel():\n                return False",
        ),
    ),
    # -- what is paused ------------------------------------------------------------------------------------------------------
    Mutant(
        "PA1",
        "a worker begins a job that was claimed before its pause was known",
        "behaviour/test_pauses.py::test_a_worker_that_holds_a_job_does_not_begin_it_once_it_is_paused",
        Edit("_engine/work/signals.py", "or self._pauses.cover(job)", ""),
    ),
    Mutant(
        "PA2",
        "claims take what is paused",
        "database/test_claims.py::test_beside_a_pause_all_others_come_in_the_order_that_they_have_without_it",
        Edit("_database/statements/claims.py", "unpaused = [*filters, ClaimFilter(UNPAUSED)]", "unpaused = filters"),
    ),
    Mutant(
        "PA3",
        "claims walk over what is paused",
        "database/test_statements.py::test_a_claim_walks_over_no_paused_job_however_many_there_are",
        Edit(
            "_database/statements/claims.py", 'in_lanes(script.text("claim_jobs"), script.schema)', 'script.text("claim_jobs")'
        ),
    ),
    Mutant(
        "PA4",
        "jobs that lie in the buffer when they are paused stay there",
        "behaviour/test_pauses.py::test_running_jobs_go_on_and_those_in_the_buffer_go_back_without_an_attempt",
        Edit("_engine/pools/duties.py", "pool.parts.claimer.buffer.give_back_if(is_to_go)", "pass"),
    ),
    Mutant(
        "PA5",
        "a process that starts does not know what is paused",
        "behaviour/test_pauses.py::test_a_pause_is_there_before_a_process_starts_and_outlives_the_one_that_made_it",
        Edit("_engine/wiring.py", "pauses.hear(registered.pauses)", ""),
        Edit("_engine/wiring.py", "heartbeat.look_soon()  # so", "# so"),
        note="Both edits are needed, because the heartbeat looks at once, too.",
    ),
    Mutant(
        "PA6",
        "jobs below the watermarks are not found after a pause",
        "behaviour/test_pauses.py::test_a_job_below_the_watermarks_is_found_after_the_pause",
        Edit("_engine/wiring.py", "lambda: duties.wake(full_scan=True)\n", "duties.wake\n"),
    ),
    Mutant(
        "PA7",
        "a pause does not end by itself",
        "behaviour/test_pauses.py::test_a_pause_ends_by_itself",
        Edit("_engine/claim/database.py", "reply._replace(next_due_in=self._pauses.sooner(reply.next_due_in))", "reply"),
    ),
    Mutant(
        "PA8",
        "a claim beside a pause passes by the first jobs of a lane that it has not looked into far enough",
        "database/test_claims.py::test_beside_a_pause_the_order_holds_however_unequal_the_lanes_are",
        Edit("_database/fragments.py", "where number = most", "where false"),
    ),
    Mutant(
        "PA9",
        "beside a pause, a claim that came too early says that there is no job",
        "database/test_claims.py::test_beside_a_pause_a_claim_whose_candidates_others_have_locked_comes_again",
        Edit("_database/statements/claims.py", "refused = is_early or not is_mine", "refused = not is_mine"),
    ),
    Mutant(
        "PA10",
        "one job more than max_jobs begins",
        "behaviour/test_run.py::test_after_max_jobs_exactly_so_many_have_run_and_the_program_exits_with_75",
        Edit("_engine/work/quota.py", "self._most = most", "self._most = most + 1"),
    ),
    # -- what runs leave behind -----------------------------------------------------------------------------------------------
    Mutant(
        "L1",
        "an attempt that has lost its job writes its progress over that of the next one",
        "database/test_records.py::test_a_report_counts_only_under_the_claim_that_the_job_was_last_given",
        Edit("_database/sql/write_progress.sql", "select job.lease_no = given.lease_no and", "select"),
        Edit("_database/sql/write_progress.sql", "coalesce(job.claimed_at, given.claimed_at) = given.claimed_at", "true"),
    ),
    Mutant(
        "L2",
        "of two reports the earlier one stays if it arrives later",
        "database/test_records.py::test_a_report_that_arrives_late_changes_nothing",
        Edit("_database/sql/write_progress.sql", "or progress.report < excluded.report", "or true"),
    ),
    Mutant(
        "L3",
        "a job has ended, and its last lines are not written",
        "behaviour/test_logs.py::test_the_lines_of_a_run_are_there_when_its_job_has_ended",
        Edit(
            "_engine/settle/database.py",
            "self._write_before(verdicts)\n        times = self._are_wanted(verdicts)\n"
            "        settle = self._statements.settle_jobs",
            "times = self._are_wanted(verdicts)\n        settle = self._statements.settle_jobs",
        ),
    ),
    Mutant(
        "L4",
        "a lock on the log holds up the outcomes of all jobs",
        "engine/records/test_records.py::test_tables_that_take_nothing_hold_up_no_outcome",
        Edit("_engine/records/recorder.py", "and not _is_of_these_tables(error)", ""),
    ),
    Mutant(
        "L5",
        "each settlement waits for the lock on the log again",
        "engine/records/test_records.py::test_tables_that_take_nothing_hold_up_no_outcome",
        Edit("_engine/records/recorder.py", "self._not_before = self._clock() + self._tuning.log_every", "pass"),
    ),
    Mutant(
        "L6",
        "a reply is lost, and the lines are there twice",
        "engine/records/test_attempt_log.py::test_two_threads_may_write_the_same_lines",
        Edit("_engine/records/attempt_log.py", " not in self._stored:", " is not None:"),
        Edit("_engine/records/attempt_log.py", "self._head = [one for one in self._head if one.first not in firsts]", "pass"),
    ),
    Mutant(
        "L7",
        "lines that cannot be written take any amount of memory",
        "engine/records/test_attempt_log.py::test_lines_that_cannot_be_written_take_no_more_memory_than_their_share",
        Edit(
            "_engine/records/attempt_log.py", "self._tail_size > min(self._tail_most(), share)", "self._tail_size > (1 << 60)"
        ),
    ),
    Mutant(
        "L8",
        "an attempt may fill the table with lines",
        "engine/records/test_attempt_log.py::test_of_very_many_the_beginning_and_the_newest_are_kept_whenever_they_are_written",
        Edit("_engine/records/attempt_log.py", "self._stored_size + self._tail_size > self._tail_most()", "False"),
    ),
    Mutant(
        "L9",
        "a run is looked for in another context than its own",
        "behaviour/test_logs.py::test_runs_at_the_same_time_have_their_own_lines",
        Edit("_engine/work/setup.py", "self.context.run(sink.set, log)", "sink.set(log)"),
    ),
    Mutant(
        "L10",
        "a line whose arguments cannot be formatted is lost",
        "behaviour/test_logs.py::test_lines_that_cannot_be_formatted_fail_no_job_and_are_kept_as_far_as_possible",
        Edit("_runtime/capture.py", 'text = f"{_plain(record.msg)} <the arguments', 'return f"{record.msg} <the arguments'),
    ),
    Mutant(
        "L11",
        "what attempts have left stays when their jobs are pruned",
        "behaviour/test_logs.py::test_what_attempts_have_left_goes_with_the_job",
        Edit(
            "_database/sql/prune_jobs.sql",
            "  delete from {schema}.log\n  where job_uid = any(array(select uid from pruned))",
            "  select 1",
        ),
    ),
    Mutant(
        "L12",
        "warnings vanish in a program that has set up no logging",
        "behaviour/test_logs.py::test_a_program_without_any_logging_still_sees_warnings",
        Edit("_runtime/capture.py", "resort.handle(record)", "pass"),
    ),
    Mutant(
        "L13",
        "plain jobs beside a run whose log is kept are looked for among what runs leave",
        "engine/records/test_records.py::test_an_outcome_is_not_looked_for_among_the_runs_that_go_on",
        Edit(
            "_engine/records/records.py",
            "self.runs[key] = RunRecord(key, attempt=job.attempts, log=log)",
            "self.runs[key] = self.ended[key] = RunRecord(key, attempt=job.attempts, log=log)",
        ),
    ),
    Mutant(
        "L14",
        "what one handler asks for is set up for the jobs of all others",
        "engine/work/test_timed_out.py::test_what_one_type_asks_for_sets_up_nothing_for_the_others",
        Edit("_engine/work/setup.py", "job.type in self._handlers.with_setup", "bool(self._handlers.with_setup)"),
    ),
    Mutant(
        "P1",
        "the pool for the rest also claims the queues that other pools name",
        "behaviour/test_pools.py::test_the_rest_is_for_all_queues_that_no_other_pool_names",
        Edit("_model/pools.py", "return PoolSpec(workers, None, tuple(sorted(without)))", "return PoolSpec(workers, None)"),
    ),
    Mutant(
        "P2",
        "a smaller pool keeps the jobs that were claimed for more workers",
        "behaviour/test_pools.py::test_a_smaller_pool_gives_back_what_has_not_begun",
        Edit(
            "_engine/pools/pool.py",
            "parts.claimer.buffer.give_back()  # it was claimed for more workers",
            "pass",
        ),
        Edit("_engine/pools/duties.py", "pool.parts.claimer.buffer.give_back_old()", "pass"),
        note="without the duty as well, which gives back what lies there for a second",
    ),
    Mutant(
        "P3",
        "a pool that was made smaller goes on with all its workers",
        "engine/work/test_turns.py::test_chains_beyond_a_smaller_size_end_after_their_turns",
        Edit("_engine/work/turns.py", "            self.without_slots = workers\n", "            pass\n"),
    ),
    Mutant(
        "P4",
        "after a lost reply, a job that another pool has claimed is taken for one of the lost claim",
        "engine/claim/test_neighbours.py::test_while_another_claim_is_under_way_nothing_is_asked_and_the_question_stays_due",
        Edit("_engine/claim/lost_replies.py", "return self._ask() if nobody_claims else 0", "return self._ask()"),
    ),
    Mutant(
        "P5",
        "a job on its last chance begins while another pool has jobs",
        "engine/claim/test_neighbours.py::test_a_neighbour_with_a_claim_under_way_or_a_full_buffer_may_hold_jobs",
        Edit("_engine/claim/claimer.py", "return self._claiming.is_held or bool(self.buffer)", "return False"),
    ),
    Mutant(
        "P6",
        "the workers of a pool that ends while it owns the last chance leave all others waiting",
        "engine/claim/test_neighbours.py::test_the_last_chance_ends_with_the_claimer_that_has_seen_it",
        Edit("_engine/claim/neighbours.py", "        self.end_left_last_chance()\n\n    def others", "\n    def others"),
    ),
    Mutant(
        "P7",
        "a pool that ends keeps the others waiting for a job on its last chance that it will not run",
        "behaviour/test_pools.py::test_a_pool_that_ends_before_a_job_on_its_last_chance_began_lets_the_others_go_on",
        Edit("_engine/pools/pool.py", "        self.parts.workers.leave_last_chance()\n", ""),
        Edit("_engine/pools/duties.py", "                pool.parts.workers.leave_last_chance()\n", ""),
    ),
    Mutant(
        "P8",
        "other jobs begin while a job on its last chance runs in a pool that ends",
        "behaviour/test_pools.py::test_a_pool_that_ends_while_a_job_on_its_last_chance_runs_there_keeps_the_others_waiting",
        Edit("_engine/work/pool.py", "self._buffer.is_closed and not self._is_alone and", "self._buffer.is_closed and"),
    ),
    Mutant(
        "P9",
        "a pool that works ends the outage of another pool",
        "engine/upkeep/test_outage.py::test_a_pool_that_works_ends_no_outage_of_another_pool",
        Edit("_engine/upkeep/outage.py", "self._outage.failed(loop, error, self)", "self._outage.failed(loop, error)"),
        Edit("_engine/upkeep/outage.py", "self._outage.worked(loop, self)", "self._outage.worked(loop)"),
    ),
    Mutant(
        "M76",
        "a call that cancels many jobs goes on whatever number of events waits",
        "behaviour/test_listeners.py::test_a_call_that_cancels_many_jobs_waits_for_slow_listeners_but_not_for_itself_or_a_stop",
        Edit("_client/bulk.py", "if step.is_told and not span.dry:", "if False:"),
    ),
    Mutant(
        "M77",
        "a change that was committed is carried out again after a lost reply",
        "behaviour/test_lost_replies.py::test_a_batch_that_is_cut_off_counts_once_and_keeps_to_the_limit",
        Edit("_client/calls.py", "if self._statements.checks.is_committed(ours, number):", "if False:"),
    ),
    Mutant(
        "M77b",
        "a change whose transaction may still be committed is carried out again",
        "behaviour/test_lost_replies.py::test_what_became_of_a_transaction",
        Edit("_database/statements/checks.py", 'if status == "in progress":', "if False:"),
    ),
    Mutant(
        "W1",
        "a heartbeat is not written if the tables refuse what the process says of itself",
        "behaviour/test_processes.py::test_a_heartbeat_is_written_even_if_the_tables_refuse_what_the_process_says",
        Edit("_engine/liveness/database.py", "            if presence is None:\n                raise", "            raise"),
    ),
    Mutant(
        "W2",
        "a heartbeat is not written if the process cannot describe itself",
        "engine/liveness/test_presence.py::test_a_process_that_cannot_be_described_beats_all_the_same",
        Edit("_engine/liveness/presence.py", "        except Exception:\n", "        except ZeroDivisionError:\n"),
    ),
    Mutant(
        "W3",
        "a look for why() waits for a locked table as long as that is locked",
        "behaviour/test_why.py::test_a_table_is_locked",
        Edit("_database/statements/fleet.py", '{"patience": f"{seconds * 1000:.0f}ms"})', '{"patience": "20s"})'),
    ),
    Mutant(
        "W4",
        "why() says that a job must wait for those of another pool of the same process",
        "model/test_why.py::test_what_keeps_a_pending_job",
        Edit("_model/why/pending.py", "one.pool_for(queue) is pool for", "one.pool_for(queue) is not None for"),
    ),
    # -- schedules ----------------------------------------------------------------------------------------------------------
    Mutant(
        "Z1",
        "a tick is fired again by a process that looked before another one has fired it",
        "schedules/test_firing.py::test_a_schedule_that_changes_between_the_look_and_the_statement_is_left_alone",
        Edit("_database/sql/fire_schedules.sql", "    and held.last_tick = due.last_tick\n", ""),
    ),
    Mutant(
        "Z2",
        "processes wait for each other at the full hour",
        "schedules/test_firing.py::test_a_row_that_another_transaction_has_locked_is_passed_over",
        Edit("_database/sql/fire_schedules.sql", "for no key update skip locked", "for no key update"),
    ),
    Mutant(
        "Z3",
        "a schedule is fired although it was paused after the look",
        "schedules/test_firing.py::test_a_schedule_that_changes_between_the_look_and_the_statement_is_left_alone",
        Edit("_database/sql/fire_schedules.sql", " and paused_at is null", ""),
    ),
    Mutant(
        "Z4",
        "a tick of a definition that has changed is fired",
        "schedules/test_firing.py::test_a_schedule_that_changes_between_the_look_and_the_statement_is_left_alone",
        Edit("_database/sql/fire_schedules.sql", "    and held.version = due.version\n", ""),
    ),
    Mutant(
        "Z5",
        "two jobs of a schedule run at once although it says overlap=skip",
        "schedules/test_firing.py::test_overlapping_ticks_are_skipped_while_the_last_job_has_not_ended",
        Edit("_database/sql/fire_schedules.sql", "  where not fired.is_running\n", ""),
    ),
    Mutant(
        "Z6",
        "a job that was run by hand after the look does not count for the overlap",
        "schedules/test_firing.py::test_a_schedule_that_changes_between_the_look_and_the_statement_is_left_alone",
        Edit("_database/sql/fire_schedules.sql", "    and held.last_job is not distinct from due.last_job\n", ""),
    ),
    Mutant(
        "Z7",
        "a schedule with other ticks fires for the past",
        "schedules/test_firing.py::test_a_schedule_with_other_ticks_begins_anew_and_one_that_says_the_same_goes_on",
        Edit(
            "_database/sql/put_schedule.sql",
            "else greatest(schedule.last_tick, excluded.last_tick)",
            "else schedule.last_tick - interval '1 hour'",
        ),
    ),
    Mutant(
        "Z8",
        "what was missed during a pause runs after it",
        "schedules/test_firing.py::test_a_paused_schedule_fires_nothing_and_does_not_catch_up_the_pause",
        Edit("_database/sql/pause_schedule.sql", "when %(paused)s or paused_at is null then", "when true then"),
    ),
    Mutant(
        "Z9",
        "a time that comes twice is two ticks of a schedule that goes by the clock",
        "schedules/test_ticks.py::test_the_clocks_change_by_the_rule_of_the_crontab",
        Edit("_schedules/ticks.py", "if self.crontab.is_real_time else", "if True else"),
    ),
    Mutant(
        "Z10",
        "ticks are lost when the clocks change",
        "schedules/test_ticks.py::test_the_ticks_of_all_zones_are_those_of_an_independent_walk",
        Edit("_schedules/ticks.py", "            return span.begin\n", "            continue\n"),
    ),
    Mutant(
        "Z11",
        "a tick is fired however late it is",
        "schedules/test_firing.py::test_a_tick_is_fired_up_to_a_minute_late_and_not_later",
        Edit("_schedules/definition.py", "return LATE if self.catch_up is None", "return EVERY_MOST if self.catch_up is None"),
    ),
    Mutant(
        "Z12",
        "during a deploy the old code and the new code write over each other's schedule for ever",
        "schedules/test_firing.py::test_while_old_and_new_code_run_side_by_side_each_tick_is_fired_once",
        Edit("_schedules/firing.py", "there.stored or self._written.get(name) == definition", "there.stored"),
    ),
    # -- figures ------------------------------------------------------------------------------------------------------------
    Mutant(
        "F1",
        "an outcome counts before it is committed",
        "engine/settle/test_settler.py::test_a_verdict_counts_once_and_only_when_it_is_committed",
        Edit(
            "_engine/settle/settler.py",
            "        groups = in_parts(batch.verdicts)\n",
            "        groups = in_parts(batch.verdicts)\n        self._commits.on_group_settled(batch.verdicts)\n",
        ),
    ),
    Mutant(
        "F2",
        "an outcome that was set aside counts, and again when it is written",
        "engine/settle/test_settler.py::test_a_verdict_counts_once_and_only_when_it_is_committed",
        Edit("_engine/settle/settler.py", "self._commits.on_group_settled(settled)", "self._commits.on_group_settled(group)"),
    ),
    Mutant(
        "F3",
        "figures whose write had no reply are written again though they were committed",
        "engine/figures/test_writer.py::test_after_a_lost_reply_it_is_asked_what_became_of_it",
        Edit(
            "_engine/figures/writer.py",
            "if not self._statements.checks.is_committed(connection, sent.transaction):",
            "if True:",
        ),
    ),
    Mutant(
        "F4",
        "figures whose write had no reply are lost though they were not committed",
        "engine/figures/test_writer.py::test_after_a_lost_reply_it_is_asked_what_became_of_it",
        Edit("_engine/figures/writer.py", "            self._figures.give_back(sent.counted)\n", "            pass\n"),
    ),
    Mutant(
        "F5",
        "figures that could not be written are lost",
        "engine/figures/test_writer.py::test_what_is_refused_is_written_later_together_with_the_rest",
        Edit("_engine/figures/writer.py", "                self._figures.give_back(counted)\n", "                pass\n"),
    ),
    Mutant(
        "F6",
        "merged figures stay in the rows of their processes, and count twice",
        "behaviour/test_stats.py::test_figures_of_all_processes_are_merged_once_and_kept",
        Edit("_database/sql/merge_stat.sql", "delete from {schema}.stat\n", "update {schema}.stat set minutes = 0\n"),
    ),
    Mutant(
        "F7",
        "merged figures replace those that were merged before",
        "behaviour/test_stats.py::test_figures_of_all_processes_are_merged_once_and_kept",
        Edit(
            "_database/fragments.py",
            "completed = stat.completed + excluded.completed,",
            "completed = excluded.completed,",
        ),
    ),
    Mutant(
        "F8",
        "what was counted since the last write is lost at the end",
        "behaviour/test_stats.py::test_each_end_counts_once_and_a_stop_writes_the_rest",
        Edit("_engine/ending.py", "parts.figure_writer.write(claim)", "pass"),
    ),
    Mutant(
        "F9",
        "jobs beyond the number of lanes are not counted",
        "engine/figures/test_figures.py::test_there_are_no_more_lanes_than_may_be_and_nothing_is_lost",
        Edit("_engine/figures/figures.py", "            lane = OTHER\n", "            return LaneFigures()\n"),
    ),
    Mutant(
        "F10",
        "a job that a call cancels does not count",
        "behaviour/test_stats.py::test_jobs_that_a_call_cancels_count_in_any_process",
        Edit("_database/fragments.py", "  where status = 'cancelled'\n", "  where false\n"),
    ),
    Mutant(
        "F11",
        "a number of pending jobs looks exact although there are more",
        "behaviour/test_stats.py::test_more_than_is_counted_is_marked",
        Edit("_database/sql/count_lanes.sql", "bool_or(count >= most)", "bool_or(count > most)"),
    ),
    Mutant(
        "F12",
        "of a lane only as many jobs are counted as are read when it is found",
        "behaviour/test_stats.py::test_more_than_is_counted_is_marked",
        Edit("_database/sql/count_lanes.sql", "or share.most = %(least)s then", "or share.most >= %(least)s then"),
    ),
    # -- when something fails in between --------------------------------------------------------------------------------------
    Mutant(
        "R1",
        "a doubt about lost jobs is forgotten if the database does not answer it",
        "engine/liveness/test_liveness.py::test_a_question_for_lost_jobs_that_the_database_does_not_answer_is_asked_again",
        Edit(
            "_engine/liveness/liveness.py",
            "            except BaseException:\n                self._may_have_lost = True\n                raise",
            "            except BaseException:\n                raise",
        ),
    ),
    Mutant(
        "R2",
        "after a moment without a thread for it, no cancel of a statement is sent any more",
        "engine/work/test_interrupts.py::test_a_cancel_for_which_there_is_no_thread_now_is_sent_later",
        Edit(
            "_engine/work/interrupts.py",
            "at present\n                self._sending.release()",
            "at present\n                pass",
        ),
    ),
    Mutant(
        "R3",
        "the turn of a slot whose thread has died counts for ever, and the stop waits for it",
        "engine/work/test_turns.py::test_a_slot_whose_thread_has_died_is_replaced_and_the_new_one_gets_a_turn",
        Edit("_engine/work/turns.py", "self._park(slot) if slot.has_turn else slot.close()", "slot.close()"),
    ),
    Mutant(
        "R4",
        "turns that cannot be given count for ever, and the stop waits for them",
        "engine/work/test_turns.py::test_turns_that_cannot_be_given_count_no_chain_as_at_work",
        Edit("_engine/work/turns.py", "self._active -= turns - submitted", "pass"),
    ),
    Mutant(
        "R5",
        "a failed claim of a job on its last chance is made again at once",
        "engine/claim/test_claimer.py::test_after_a_failed_claim_of_a_job_on_its_last_chance_the_next_one_waits",
        Edit(
            "_engine/claim/claimer.py",
            "                return jobs[0]\n        except DatabaseFailure as error:\n            schedule.failed()",
            "                return jobs[0]\n        except DatabaseFailure as error:\n            pass",
        ),
    ),
    Mutant(
        "R6",
        "dead workers are not replaced any more after one moment without threads",
        "engine/upkeep/test_threads.py::test_dead_workers_are_replaced_later_if_the_system_starts_no_thread_now",
        Edit("_engine/upkeep/threads.py", 'if "shutdown" in str(error):', "if error:"),
    ),
    # -- whether a manager is ready ------------------------------------------------------------------------------------------
    Mutant(
        "H1",
        "a failure between the claims of a pool without handlers never ends",
        "engine/pools/test_duties.py::test_a_failure_between_the_claims_of_a_pool_is_over_with_the_next_call_that_works",
        Edit(
            "_engine/pools/duties.py",
            "            self._outage.failed(LOOP, error)  #",
            "            self._pools.live()[0].parts.outage.failed(LOOP, error)  #",
        ),
    ),
    Mutant(
        "H2",
        "a rescue that fails each time seems to work again in between",
        "engine/liveness/test_rescue.py::test_a_finding_stays_until_it_could_be_acted_on",
        Edit("_engine/liveness/rescue.py", "findings = self._findings\n", "findings, self._findings = self._findings, []\n"),
    ),
    Mutant(
        "H3",
        "a heartbeat may be missing for half a lease before anybody is told",
        "contrib/seen/test_ready.py::test_ready_turns_and_turns_back[process_row_locked]",
        Edit("_engine/health.py", "min(settings.lease / 2, most)", "settings.lease / 2"),
    ),
    Mutant(
        "H4",
        "claims that failed are a problem although there is nothing to claim any more",
        "engine/claim/test_claimer.py::test_without_a_handler_no_claim_fails_any_more",
        Edit("_engine/claim/claimer.py", "            self._outage.worked(LOOP)  # no later claim would say so\n", ""),
    ),
    # -- connections of other drivers ---------------------------------------------------------------------------------------
    Mutant(
        "D1",
        "on another driver's autocommit connection, complete() commits the end of the job alone",
        "behaviour/test_drivers.py::test_complete_outside_a_transaction_is_refused",
        Edit("_engine/work/completions.py", "if is_alone(theirs):", "if not isinstance(theirs, Caller) and is_alone(theirs):"),
    ),
    Mutant(
        "D2",
        "jobs of a create_many stay although the key of one must have been free",
        "behaviour/test_drivers.py::test_many_jobs_with_keys_are_one_thing",
        Edit("_client/unique.py", "with connection.atomic() if is_undone else nullcontext():", "with nullcontext():"),
    ),
    Mutant(
        "D3",
        "of two creates of one key at one moment, the one that comes second is lost",
        "behaviour/test_drivers.py::test_two_creates_of_one_key_at_one_moment_make_one_job",
        Edit(
            "_client/unique.py", "if left := [job for number, job in sent.items() if number not in results]:", "if left := []:"
        ),
    ),
    Mutant(
        "D4",
        "the driver's error loses its own cause",
        "behaviour/test_drivers.py::test_the_drivers_own_errors_come_through_as_they_are",
        Edit("_database/caller.py", "raise error from error.__cause__", "raise error from None"),
    ),
    Mutant(
        "D5",
        "a password that has changed is not asked for again",
        "behaviour/test_db_function.py::test_a_password_may_change_while_the_manager_runs",
        Edit(
            "_database/connections.py", "self._source = source_of(db)", "self._source = source_of(db() if callable(db) else db)"
        ),
    ),
    Mutant(
        "J1",
        "in Django a job is not part of the transaction that creates it",
        "contrib/django/test_projects_tests.py::test_a_project_s_tests_pass_with_the_runner_of_django[closed after each job]",
        Edit(
            "contrib/django/_managers.py",
            'if options.get("on_done") is None:',
            'if options.get("on_done") is not None:',
        ),
    ),
    Mutant(
        "J2",
        "the end of a test's database finds a manager's connections open",
        "contrib/django/test_projects_tests.py::test_a_test_database_can_be_dropped_whatever_workers_did_in_it",
        Edit("contrib/django/_teardown.py", "            manager.stop(STOP_SECONDS)\n", "            pass\n"),
    ),
    Mutant(
        "J3",
        "a thread of a worker leaves Django's connection open",
        "contrib/django/test_projects_tests.py::test_a_test_database_can_be_dropped_whatever_workers_did_in_it",
        Edit("contrib/django/_around.py", "        connections.close_all()", "        pass"),
    ),
    Mutant(
        "J4",
        "a burst ends although a claim has brought jobs",
        "behaviour/test_run.py::test_a_lull_has_come_when_a_claim_that_began_after_all_was_settled_found_nothing",
        Edit("_engine/lull.py", "if work.open or work.brought != self._brought:", "if work.open:"),
    ),
    # -- Django's tasks ------------------------------------------------------------------------------------------------------
    Mutant(
        "DT1",
        "what a handler says when it puts its job off is lost",
        "behaviour/test_attempts.py::test_a_reason_to_snooze_is_the_error_until_the_next_attempt_has_ended",
        Edit("_database/sql/settle_jobs.sql", "coalesce(verdict.error, job.error)", "job.error"),
    ),
    Mutant(
        "DT2",
        "a job that has ended is still under way",
        "behaviour/test_attempts.py::test_the_attempt_under_way_is_in_the_history_if_it_is_asked_for",
        Edit("_database/sql/find_running.sql", " and (status = 'running') is true", ""),
        Edit("_database/sql/find_running.sql", " on process.id = job.process_id", " on true"),
        note="Both edits are needed, because a job that has ended has no process_id.",
    ),
    Mutant(
        "DT3",
        "a job calls whatever it names, not only tasks",
        "contrib/django_tasks/test_on_django.py::test_the_cases_hold[6.1]",
        Edit("contrib/django/tasks/calls.py", "if not isinstance(task, Task):", "if False:"),
    ),
    Mutant(
        "DT4",
        "a task is enqueued outside the caller's transaction",
        "contrib/django_tasks/test_on_django.py::test_the_cases_hold[6.1]",
        Edit(
            "contrib/django/tasks/backend.py",
            "            **options,\n",
            "            connection=None,\n            **options,\n",
        ),
    ),
    Mutant(
        "DT5",
        "a task that cannot be imported during a deploy fails at once",
        "contrib/django_tasks/test_on_django.py::test_the_cases_hold[6.1]",
        Edit("contrib/django/tasks/work.py", ">= PATIENCE", ">= 0.0"),
    ),
    Mutant(
        "R7",
        "after the slot is closed that ran a job on its last chance, no worker goes on",
        "behaviour/test_stuck.py::test_others_begin_when_a_slot_that_ran_a_job_on_its_last_chance_is_closed",
        Edit("_engine/work/pool.py", "                self._turns.give(1)\n", "                pass\n"),
    ),
    # -- the command line ----------------------------------------------------------------------------------------------------
    Mutant(
        "CL1",
        "an action with --all and no filter takes all jobs",
        "cli/test_jobs.py::test_arguments_that_cannot_be_are_named",
        Edit("cli/jobs_acting.py", "    if not filters:\n", "    if False:\n"),
    ),
    Mutant(
        "CL2",
        "an action with --all does not ask",
        "cli/test_jobs.py::test_without_yes_and_without_a_terminal_a_bulk_action_changes_nothing",
        Edit("cli/command.py", 'if getattr(self.options, "yes", False):', "if True:"),
    ),
    Mutant(
        "CL3",
        "a dry run changes jobs",
        "cli/test_jobs.py::test_the_filters_of_the_list_are_those_of_the_actions",
        Edit(
            "cli/jobs_acting.py",
            "changed = action.all(manager, options, **filters, limit=options.limit, dry_run=True",
            "changed = action.all(manager, options, **filters, limit=options.limit, dry_run=False",
        ),
    ),
    Mutant(
        "CL4",
        "an action takes jobs with any error, whatever --error says",
        "cli/test_jobs.py::test_the_filters_of_the_list_are_those_of_the_actions",
        Edit("cli/filters.py", '"tags", "error", ', '"tags", '),
    ),
    Mutant(
        "CL5",
        "an action goes on after Ctrl-C",
        "cli/test_jobs.py::test_ctrl_c_in_the_middle_keeps_what_is_done_and_says_how_many",
        Edit("cli/jobs_acting.py", "        if self.came:\n", "        if False:\n"),
    ),
    Mutant(
        "CL6",
        "the exit code is 0 although one of two jobs could not be retried",
        "cli/test_jobs.py::test_uids_are_taken_one_by_one_and_the_code_says_whether_all_were_done",
        Edit("cli/jobs_acting.py", "    if did:\n        return PARTLY", "    if did:\n        return DONE"),
    ),
    Mutant(
        "CL7",
        "run-now touches jobs that are due",
        "cli/test_jobs.py::test_run_now_makes_due_what_is_due_later",
        Edit("cli/jobs_acting.py", "if job.run_at > now)", "if True)"),
    ),
    Mutant(
        "CL8",
        "a worker brings tables up to date that it is to leave alone",
        "cli/test_run.py::test_it_leaves_the_tables_alone_if_it_is_not_to_migrate",
        Edit("cli/running.py", "migrate=options.migrate", "migrate=True"),
    ),
    Mutant(
        "SV1",
        "the pause before a process is replaced stays short while processes die young",
        "cli/test_run.py::test_the_pause_before_a_replacement_doubles_and_is_short_again_after_a_long_life",
        Edit("supervisor.py", "min(self._pause * 2, PAUSE_MOST)", "min(self._pause, PAUSE_MOST)"),
    ),
    Mutant(
        "SV2",
        "the pause before a process is replaced stays long after a long life",
        "cli/test_run.py::test_the_pause_before_a_replacement_doubles_and_is_short_again_after_a_long_life",
        Edit("supervisor.py", "if now - self._begun_at >= OLD_ENOUGH", "if False"),
    ),
    Mutant(
        "SV3",
        "the exit code does not tell that a process can never start",
        "cli/test_run.py::test_processes_that_can_never_start_end_all",
        Edit("supervisor.py", "self._stopping_since = HOPELESS, now", "self._stopping_since = 0, now"),
    ),
    Mutant(
        "SV4",
        "the exit code is 0 although a process did not end in order",
        "cli/test_run.py::test_a_handler_that_does_not_end_makes_the_code_1",
        Edit("supervisor.py", "int(any(slot.code != 0 for slot in self._slots))", "0"),
    ),
    Mutant(
        "SV5",
        "a process that was killed is not replaced",
        "cli/test_run.py::test_a_process_that_the_kernel_kills_for_its_memory_is_replaced_and_loses_no_job",
        Edit("supervisor.py", "            self.not_before = now + self._pause\n", "            self.is_wanted = False\n"),
    ),
    Mutant(
        "SV6",
        "a child hangs that was forked while another thread imported the engine",
        "behaviour/test_fork.py::test_a_child_may_start_a_manager_although_it_was_forked_while_another_thread_imported_the_engine",
        Edit("_engine/runner.py", "with fork.importing:", "with contextlib.nullcontext():"),
    ),
    Mutant(
        "SV7",
        "Ctrl-C interrupts the imports of processes that have only begun",
        "cli/test_run.py::test_a_signal_ends_in_order_processes_that_have_only_begun",
        Edit("supervisor.py", "self._forward(signal.SIGTERM, frame)", "self._forward(number, frame)"),
        Edit("supervisor.py", "self.is_told or number == signal.SIGTERM", "self.is_told or number != signal.SIGTSTP"),
    ),
    Mutant(
        "PK1",
        "an idle process overlooks a due job behind one of a higher priority that is due later",
        "database/test_claims.py::test_a_claim_that_peeks_looks_for_jobs_only_if_one_is_due",
        Edit("_database/sql/peek.sql", "where head.run_at > pg_catalog.now()", "where head.run_at <= pg_catalog.now()"),
    ),
    Mutant(
        "PK2",
        "an idle process takes a job that is due for one that is due later",
        "database/test_claims.py::test_a_claim_that_peeks_looks_for_jobs_only_if_one_is_due",
        Edit("_database/statements/claims.py", "due_in is None or due_in > 0.0", "due_in is None or due_in <= 0.0"),
    ),
    Mutant(
        "PK3",
        "processes that look only with their heartbeats are slow to rescue the jobs of one that died",
        "engine/liveness/test_heartbeat.py::test_the_more_processes_there_are_the_less_often_each_looks",
        Edit("_engine/liveness/heartbeat.py", "0.0 if seems_dead else min", "min"),
    ),
    Mutant(
        "PK4",
        "the settler of a process that stops waits for verdicts that do not come",
        "engine/settle/test_queue.py::test_a_settler_that_is_to_end_lets_nothing_gather",
        Edit("_engine/settle/queue.py", "gathered and not self._is_ended:", "gathered:"),
    ),
    Mutant(
        "FK1",
        "a child of a fork does not notice a signal that comes at once",
        "behaviour/test_surroundings.py::test_a_forked_child_is_ended_by_a_signal_that_comes_at_once",
        Edit("_runtime/fork.py", "if held_back else None", "if not held_back else None"),
    ),
)
