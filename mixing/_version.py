"""The version, apart from everything that needs dependencies."""

__version__ = "0.1.0"
