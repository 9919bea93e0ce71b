-- Delete up to n windows that are over, and as many notes of creates that are not sent again. Several processes may do this at
-- once: each skips what another one has locked. Returns how many rows were deleted from the table that had more.
with over as (
  select key
  from {schema}.unique_window
  where until <= pg_catalog.now()
  limit %(n)s
  for update skip locked
), past as (
  select uid
  from {schema}.replacement
  where until <= pg_catalog.now()
  limit %(n)s
  for update skip locked
), closed as (
  delete from {schema}.unique_window
  where key = any(array(select key from over))
  returning key
), forgotten as (
  delete from {schema}.replacement
  where uid = any(array(select uid from past))
  returning uid
)
select greatest((select pg_catalog.count(*) from closed), (select pg_catalog.count(*) from forgotten))
