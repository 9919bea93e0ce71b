-- The tables of steve. A row of `job` is one thing to do and its history. `attempt` is the log, with a row for each run that
-- ended, unless the job's own row stands for it (job.process). `process` has a row for each started manager. The statements in
-- steve/_database/sql/ read and write them.

-- What a column may hold is said by its type. A check of the table would do the same, but PostgreSQL reads and compiles each
-- check of a table anew for every statement that writes to it, and keeps those of a domain: with twenty checks a create took
-- twice as long in the server. (A statement that returns an array of such a column casts the column: drivers know no arrays of
-- domains.) Python could not read a claim that brings a row with a time beyond the range of its datetime.
create domain {schema}.instant as timestamptz check (value > '0001-01-02' and value < '9999-01-01');
create domain {schema}.json_object as jsonb check (jsonb_typeof(value) = 'object');
create domain {schema}.job_name as text collate "C" check (char_length(value) between 1 and 255);
create domain {schema}.job_status as text check (value in ('pending', 'running', 'completed', 'failed', 'cancelled'));
create domain {schema}.job_priority as smallint check (value between -100 and 100);
create domain {schema}.job_attempts as integer check (value <= 1000000000);
create domain {schema}.job_crashes as smallint check (value <= 10000);
create domain {schema}.job_max_attempts as integer check (value between 1 and 10000);
create domain {schema}.job_forgiven as integer check (value > 0);
create domain {schema}.job_lease_no as bigint check (value >= 0);
create domain {schema}.job_timeout as double precision check (value > 0);
create domain {schema}.backoff_strategy as text check (value in ('none', 'exp'));
create domain {schema}.backoff_base as real check (value between 1 and 1000);
create domain {schema}.backoff_max as real check (value between 0 and 31536000);
create domain {schema}.backoff_jitter as real check (value between 0 and 1);

create table {schema}.job (
  -- The name of the job: a UUIDv7, so that uids have the order of creation, as far as clocks agree. steve makes it before the
  -- first try. The default makes one too, so a job made by plain SQL needs only a type. It divides a millisecond as steve does
  -- (steve/_client/enqueue.py), so that both kinds share one order: 12 digits are the millisecond and 3 its 4,096ths; before
  -- these stands the version. The variant and the random bits are those of a UUIDv4.
  uid              uuid not null default (
                     overlay(lpad(to_hex(floor(extract(epoch from clock_timestamp()) * 4096000)::bigint), 15, '0')
                             placing '7' from 13 for 0)
                     || substring(gen_random_uuid()::text from 20))::uuid,
  queue            {schema}.job_name not null default 'default',
  type             {schema}.job_name not null,
  priority         {schema}.job_priority not null default 0,             -- higher first
  payload          {schema}.json_object not null default '{}',
  result           jsonb,                                                -- null unless completed
  error            text,                                                 -- the last error's message; null once completed
  status           {schema}.job_status not null default 'pending',
  attempts         {schema}.job_attempts not null default 0,             -- claims, less those given back or snoozed
  crashes          {schema}.job_crashes not null default 0,              -- attempts that ended by a process's death
  max_attempts     {schema}.job_max_attempts not null default 3,
  backoff_strategy {schema}.backoff_strategy not null default 'exp',
  backoff_base     {schema}.backoff_base not null default 2,
  backoff_max      {schema}.backoff_max not null default 3600,           -- seconds
  backoff_jitter   {schema}.backoff_jitter not null default 0,
  lease_no         {schema}.job_lease_no not null default 0,             -- raised by claim, release and rescue; never lowered
  process_id       bigint,                                               -- of the process that holds it
  claimed_at       {schema}.instant,
  created_at       {schema}.instant not null default clock_timestamp(),
  updated_at       {schema}.instant not null default clock_timestamp(),
  run_at           {schema}.instant not null default clock_timestamp(),
  started_at       {schema}.instant,                                     -- first attempt, written with its outcome
  completed_at     {schema}.instant,                                     -- when it became completed, failed or cancelled
  process          text,                                                 -- of its only attempt, which succeeded: the log has no
                                                                         -- row for it
  -- Most jobs have none of these.
  unique_key       {schema}.job_name,
  tags             {schema}.json_object,
  metadata         {schema}.json_object,
  timeout          {schema}.job_timeout,                                 -- seconds that an attempt may take
  expires_at       {schema}.instant,                                     -- to be begun by then
  cancel_asked_at  timestamptz,                                          -- while it ran
  cancel_reason    text,
  forgiven         {schema}.job_forgiven,                                -- failures before it was last retried by hand
  granted          {schema}.job_max_attempts,                            -- failures allowed since then, if not max_attempts
  replaced_by      uuid,                                                 -- the uid of the create that last changed it
  constraint job_crashes_check check (crashes between 0 and attempts),
  constraint job_running_check check ((status = 'running') = (process_id is not null)),
  constraint job_ended_check check ((status in ('completed', 'failed', 'cancelled')) = (completed_at is not null)),
  -- Whoever makes such a job pending again must first write its attempt into the log, and set process to null.
  constraint job_process_check check (process is null or status = 'completed'),
  -- The key grows at one end, and each of a row's two updates adds an entry beside the first. The fill factor leaves space for
  -- these entries: without it PostgreSQL would search the pages for entries to delete, and then split them. In the end the
  -- index is no larger than without it.
  primary key (uid) with (fillfactor = 45)
) with (
  -- A job's row is updated twice and then rests: leave space for that on the page, and vacuum early, at full speed.
  fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0
);

-- The claim: its whole order is in the index, so that "not yet due" ends the scan.
create index job_due on {schema}.job (priority desc, run_at, uid) where status = 'pending';
-- What is pending of one queue and type, past any number of others: for find_heads.sql.
create index job_ready on {schema}.job (queue, type, priority, run_at, uid) where status = 'pending';
-- For crashed jobs, which a process held when it died. They are few, and are claimed separately.
create index job_suspect on {schema}.job (run_at, uid) where status = 'pending' and crashes > 0;
-- For expire_jobs.sql: jobs that are to be cancelled if they have not begun by then. `is true`, so that the statement, which says
-- the same, can use no other index of pending jobs.
create index job_expiry on {schema}.job (expires_at)
  where expires_at is not null and started_at is null and (status = 'pending') is true;
-- For rescue_jobs.sql, review_claims.sql and find_claimed.sql; no other statement may use it.
-- It has one key for each process, and its entries come and go: deduplication would cost every claim more than it saves.
create index job_claimed on {schema}.job (process_id) with (deduplicate_items = off) where status = 'running';
-- No two jobs that have not ended share a unique_key. So rescue, release and retry by the policy can never violate it.
create unique index job_unique on {schema}.job (unique_key)
  where unique_key is not null and status not in ('completed', 'failed', 'cancelled');
-- What failed or was cancelled, for list_jobs.sql and for calls that change many jobs (BATCH in fragments.py): both go by uid, and
-- would otherwise read all that succeeded.
create index job_failed on {schema}.job (uid) where status in ('failed', 'cancelled');
-- For list_tagged_jobs.sql. Jobs without tags have no entry.
create index job_tags on {schema}.job using gin (tags jsonb_path_ops) where tags is not null;

-- The running jobs that somebody asked to cancel: for find_cancel_asked.sql. It is empty as a rule.
create index job_cancel_asked on {schema}.job (process_id) where cancel_asked_at is not null and status = 'running';

create table {schema}.attempt (                               -- no foreign key (7 us a job)
  job_uid       uuid        not null,
  lease_no      bigint      not null,                         -- of the claim; together with job_uid it is the fence
  number        integer     not null,                         -- counted from 1
  process       text        not null,
  started_at    timestamptz not null,
  completed_at  timestamptz not null,
  status        text        not null check (status in ('success', 'error', 'crashed', 'cancelled')),
  error_type    text,                                         -- module.qualname of what was raised, or steve.Crashed and so on
  error_message text,
  error_details text,
  check (least(started_at, completed_at) > '0001-01-02' and greatest(started_at, completed_at) < '9999-01-01'),
  primary key (job_uid, lease_no)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- How far a job is, as its handler last said. It is not in the job's row: each write there would lock the
-- row, and hold up other statements that change the job.
create table {schema}.progress (                              -- no foreign key, as above
  job_uid    uuid        primary key,
  lease_no   bigint      not null,                            -- these two: of the claim under which the handler said it
  claimed_at timestamptz not null,
  report     bigint      not null,                            -- of two reports under one claim, the later one has the higher
  done       double precision not null check (done between '-1.7976931348623157e308' and '1.7976931348623157e308'),
  total      double precision check (total between '-1.7976931348623157e308' and '1.7976931348623157e308'),
  note       text,
  at         timestamptz not null check (at > '0001-01-02' and at < '9999-01-01')
) with (fillfactor = 50);

-- What attempts have logged: some lines that follow one another in each row. A gap between two rows: lines that were left out.
create table {schema}.log (                                   -- no foreign key, as above
  job_uid    uuid        not null,
  lease_no   bigint      not null,                            -- these two: of the claim. Each claim has rows of its own, even if
  claimed_at timestamptz not null,                            -- a standby that was promoted gives a lease_no out again
  first_line bigint      not null,                            -- the numbers of its first and its last line, counted from 0
  last_line  bigint      not null,
  attempt    integer     not null,                            -- as attempt.number
  shift      bigint      not null,                            -- microseconds to add to the times of the lines
  lines      json        not null,                            -- each a list: microseconds since 1970, level, logger, message
  primary key (job_uid, lease_no, claimed_at, first_line)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

create table {schema}.process (
  id           bigint      primary key,                       -- drawn at random, so that none is used twice
  name         text        not null,                          -- host:pid
  version      text        not null,                          -- of steve
  started_at   timestamptz not null default clock_timestamp(),
  heartbeat_at timestamptz not null default clock_timestamp(),
  locked       boolean     not null default false,            -- its session holds this row's lock; a free lock: it is gone
  suspected_at timestamptz,                                   -- when the lock was found free, or its jobs were rescued
  lease        real        not null default 60,               -- seconds
  info         jsonb                                          -- what it says of itself: steve/_model/presence.py; null: nothing yet
);

-- No other job with this key is made until then, whatever became of the job that opened the window. A duty deletes what is over.
create table {schema}.unique_window (
  key   text        collate "C" primary key,                  -- as job.unique_key
  until timestamptz not null,
  uid   uuid        not null                                  -- of the job that opened it, which may be deleted by now
);
create index unique_window_until on {schema}.unique_window (until);

-- A create that changed a job which was there already, instead of making one. If its reply is lost and it is sent again, this
-- row keeps it from changing a job twice, since by then another create may have changed the job. A duty deletes what is over.
create table {schema}.replacement (
  uid     uuid        primary key,                            -- of the create
  job_uid uuid        not null,
  until   timestamptz not null                                -- nothing is sent again after that
);
create index replacement_until on {schema}.replacement (until);

-- What people changed, by whom: a row for each call inside `manager.acting_as(...)`. A duty deletes it after 90 days.
create table {schema}.audit (
  uid    uuid        primary key default gen_random_uuid(),
  at     timestamptz not null default clock_timestamp(),
  actor  text        not null,
  action text        not null,                                -- the name of the call
  filter jsonb       not null,                                -- the job, or which jobs
  done   bigint      not null                                 -- how many jobs, or pauses, it changed
);

-- What no process begins at present: the jobs of a queue, of a type, of a type in a queue, or, where both are null, all jobs. The
-- processes read it with their looks at each other (beat.sql). A row whose time is over counts as if it were not there.
create table {schema}.pause (
  queue  text        collate "C" check (char_length(queue) between 1 and 255),
  type   text        collate "C" check (char_length(type) between 1 and 255),
  since  timestamptz not null default clock_timestamp() check (since > '0001-01-02' and since < '9999-01-01'),
  until  timestamptz check (until > '0001-01-02' and until < '9999-01-01'),   -- null: until somebody resumes
  reason text,
  by     text,                                                -- the actor of `manager.acting_as(...)`
  constraint pause_key unique nulls not distinct (queue, type)
);
-- For find_case.sql and prune_audit.sql.
create index audit_at on {schema}.audit (at);

-- A process in which somebody waits for jobs to end. Until then, each statement that ends a job sends a notification.
create table {schema}.waiter (
  id    bigint      primary key,                              -- drawn at random
  until timestamptz not null
);

-- Which process lately had a handler for a type: its own row is gone when it has stopped.
create table {schema}.served (
  type    text        collate "C" primary key,
  process text        not null,
  at      timestamptz not null                                -- renewed every ten minutes
);

-- How the jobs of a queue and type went, minute by minute. Each process counts for itself, and adds what it has counted to rows
-- of its own: `minutes` is 0. A duty moves these, once, into the sums of all processes: a row for each length, so that a long span
-- is read from few rows. Another duty deletes what is old. See steve/_engine/figures/ and steve/_model/spans.py.
create table {schema}.stat (
  minutes    smallint    not null,                            -- how long the row's span is; 0: a minute, of one process
  at         timestamptz not null,                            -- when it begins
  process_id bigint      not null,                            -- 0: all processes together
  queue      text        collate "C" not null,
  type       text        collate "C" not null,
  completed  bigint      not null default 0,                  -- jobs that completed,
  failed     bigint      not null default 0,                  -- that failed for good,
  cancelled  bigint      not null default 0,                  -- and that were cancelled or had expired
  retried    bigint      not null default 0,                  -- attempts after which the job is tried again,
  crashed    bigint      not null default 0,                  -- and that ended with the death of their process
  run_us     bigint      not null default 0,                  -- how long attempts took, microseconds,
  wait_us    bigint      not null default 0,                  -- and how long their jobs had been due before
  -- The same times as histograms, which sum() merges: the last twelve digits count the first bucket, the twelve digits before
  -- these the second. steve/_model/histogram.py reads them.
  run_hist   numeric     not null default 0,
  wait_hist  numeric     not null default 0,
  primary key (minutes, at, queue, type, process_id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- Duties that one process at a time does. The process that has the turn moves the time forward while it is at work. When it has
-- not done so for long, another one takes the turn.
create table {schema}.duty (
  name    text        primary key,
  kept_at timestamptz not null
);

-- What is to run on a clock. The process that moves `last_tick` creates the job of that tick, in the same statement
-- (fire_schedules.sql).
create table {schema}.schedule (
  name         text        collate "C" primary key check (char_length(name) between 1 and 255),
  stored       boolean     not null,                          -- false: it is in the code of processes, which write it here
  version      text        not null,                          -- a digest of what stands in the columns from `cron` to `terms`
  cron         text,
  every        interval    check (every >= '1 second'),
  timezone     text        not null,
  catch_up     interval    check (catch_up > '0'),            -- how late a tick may be; null: a minute
  latest       boolean     not null,                          -- of several ticks that are due, only the last one is fired
  overlap      text        not null check (overlap in ('skip', 'allow')),
  jitter       double precision not null check (jitter >= 0), -- seconds
  type         text        collate "C" not null check (char_length(type) between 1 and 255),   -- these three: of its jobs
  payload      jsonb       not null check (jsonb_typeof(payload) = 'object'),
  terms        jsonb       not null check (jsonb_typeof(terms) = 'object'),
  last_tick    timestamptz not null,                          -- no tick up to this moment is fired any more
  last_run_at  timestamptz,                                   -- the tick of last_job
  last_job     uuid,                                          -- the job that was created last, which may be deleted by now
  paused_at    timestamptz,
  check ((cron is null) <> (every is null))
);
