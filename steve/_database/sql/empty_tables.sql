-- Delete all jobs and all that is kept beside them, between two tests. The rows of `process` stay, since a manager may be at work,
-- and so do those of `duty`, which only say when the duties of the fleet were last done. Deleting, rather than TRUNCATE: a
-- few rows are gone sooner, it waits for no reader, and a worker's rights suffice.
with jobs as (
  delete from {schema}.job
), attempts as (
  delete from {schema}.attempt
), progresses as (
  delete from {schema}.progress
), logs as (
  delete from {schema}.log
), windows as (
  delete from {schema}.unique_window
), replacements as (
  delete from {schema}.replacement
), audits as (
  delete from {schema}.audit
), pauses as (
  delete from {schema}.pause
), stats as (
  delete from {schema}.stat
), schedules as (
  delete from {schema}.schedule
)
delete from {schema}.served
returning 1
