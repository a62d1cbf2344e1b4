"""Everything that can be found wrong before a run."""
