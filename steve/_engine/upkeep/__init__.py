"""What the stages share: supervised threads (threads.py), periodic duties (periodic.py), backpressure (a queue that is full
holds up the threads that fill it), outages of the database, and the watch over the engine's own health. Duties that are about
no stage.
"""
