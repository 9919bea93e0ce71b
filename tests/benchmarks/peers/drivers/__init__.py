"""A file for each peer: `set_up` its tables, `fill` in jobs, `create` jobs one at a time, `work`."""
