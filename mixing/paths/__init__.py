"""Relaxation and reaction paths on mixed forces, with weights that stay as they are."""
