"""What a process has once, whatever managers it has: its log, its source of chance, its exit and its forks."""
