-- End the windows that these creates have opened without making a job: another job took the key at the same moment.
update {schema}.unique_window
set until = pg_catalog.clock_timestamp()
where key = any(%(keys)s::pg_catalog.text[]) and uid = any(%(uids)s::pg_catalog.uuid[])
  and not exists (select from {schema}.job where job.uid = unique_window.uid)
returning uid
