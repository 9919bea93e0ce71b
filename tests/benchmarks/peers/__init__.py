"""Other PostgreSQL job queues on the same PostgreSQL, in the same run: `make bench-peers`.

Where to read: catalogue.py says which peers there are and what each is given. install.py puts them into `.peers/` of the
checkout, each into an environment of its own. figures.py measures those that are there. A file in drivers/ makes one of them
set up its tables, create jobs and work, at its best settings. driver.py and drivers/driver.mjs hold what these files share,
for Python and for Node. Every repetition of a figure has a database of its own, which database.py makes and drops.

A new peer is an entry in the catalogue and a file in drivers/.
"""
