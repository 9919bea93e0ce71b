-- What keeps this role from its work, one sentence for each problem: rights that it lacks, and row level security, which
-- hides rows without an error, so that a worker would never find a job. Rights are checked for a `worker` only, because a
-- role that only creates or reads jobs does not need all of them. A role that any policy applies to passes the check: the owner
-- decides which rows the policy lets through.
with need as (
  select
    name, what,
    pg_catalog.has_any_column_privilege(name, what) as has_right,
    case what when 'select' then 'r' when 'insert' then 'a' else 'w' end as command
  from unnest(%(tables)s::pg_catalog.text[], %(rights)s::pg_catalog.text[]) as need (name, what)
)
select 'the role ' || pg_catalog.quote_ident(current_user) || ' lacks the right to ' || what || ' on ' || name
  || ': steve.grants() prints what it needs'
from need
where %(worker)s and not has_right
union all
select 'row level security lets the role ' || pg_catalog.quote_ident(current_user) || ' ' || what || ' no row of ' || name
  || ': create a policy for it'
from need
where has_right
  and pg_catalog.row_security_active(name)
  and not exists (
    select
    from pg_catalog.pg_policy
    where polrelid = pg_catalog.to_regclass(name) and polpermissive and polcmd in ('*', command)
      and exists (
        select
        from pg_catalog.unnest(polroles) as policy (role)
        where policy.role = 0 or pg_catalog.pg_has_role(policy.role, 'usage')  -- 0: everybody
      )
  )
