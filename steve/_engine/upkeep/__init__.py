"""What the stages share: supervised threads, periodic duties, backpressure (a queue that is full holds up the threads that fill
it), outages, and the watch over health.
"""
