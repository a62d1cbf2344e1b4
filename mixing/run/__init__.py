"""Around i-PI: the processes of a run, from its start to its outcome."""
