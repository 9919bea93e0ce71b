-- The time of creation for jobs that a COPY stores: the clock that an INSERT would read.
select pg_catalog.clock_timestamp()
