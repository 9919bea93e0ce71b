"""The only SQL. connections.py makes all connections of a manager; statements/ sends the files of sql/ and makes values of
rows; migrations/ makes the tables; grants.py says who may do what; failures.py says what an error means.
"""
