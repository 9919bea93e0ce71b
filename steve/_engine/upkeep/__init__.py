"""What the stages share: supervised threads (threads.py), periodic duties (periodic.py), backpressure (a full queue holds up
the threads that fill it), and the log of outages (outage.py). Also the duties that belong to no stage: replacing dead workers,
abandoning statements while the engine stops, and watching the engine's own health.
"""
