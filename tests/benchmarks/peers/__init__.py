"""Other PostgreSQL job queues on the same PostgreSQL, in the same run: `make bench-peers`.

Where to read: catalogue.py says which there are and what each is given; install.py puts them into `.peers/` of the checkout,
each into an environment of its own; figures.py measures those that are there. A file in drivers/ makes one of them set up its
tables, create jobs and work, at its best settings; what these files share is driver.py for Python and drivers/driver.mjs for
Node. Every repetition of a figure has a database of its own, made and dropped by database.py.

A new peer is an entry in the catalogue and a file in drivers/.
"""
