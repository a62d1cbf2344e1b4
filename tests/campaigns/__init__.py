"""Campaigns: many seeded attempts to break mixpi, counted by what became of them."""
