"""What a run leaves: tables, frames, checkpoints; and what of it a continued run goes on from."""
