"""A new folder from a structure, a model and a cheap potential."""
