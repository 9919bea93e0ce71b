"""Schedules: what is to run on a clock, and when. Nobody leads: every process that runs jobs looks at the table `schedule`, and
the one whose statement moves `last_tick` creates the job, in the same transaction.

ticks.py        the ticks of a schedule, and which of them are due: pure functions; read it first
crontab.py      which local times match a crontab
zones.py        time zones, and when their clocks change
definition.py   Definition: what a schedule says, checked
in_code.py      the definitions in the code of this process
firing.py       a look at the table, and the statement that fires what is due
database.py     what firing asks of the database

`_client/schedules.py` changes schedules for callers. `_engine/upkeep/scheduler.py` is the thread that fires them.
"""
