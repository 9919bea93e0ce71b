"""`steve.contrib.flask`: in this process, and in a project that servers and `flask` start."""
