"""Driver processes: clients that connect to the mixing layer, or to plain i-PI."""
