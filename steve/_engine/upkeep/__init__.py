"""What the other stages share: supervised threads, periodic duties, backpressure, outages, and the watch over health."""
