"""After a run: its trajectories, tables and report."""
