"""Several runs of one case: their folders, the drivers that they share, how they go."""
