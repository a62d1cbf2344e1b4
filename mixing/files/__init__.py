"""Files of others, opened with care; our own, written whole or not at all."""
