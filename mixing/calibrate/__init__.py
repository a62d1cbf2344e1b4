"""How wide a buffer must be, and how far apart two potentials are, measured."""
