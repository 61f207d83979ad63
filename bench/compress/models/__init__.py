"""Models that are sources of the rows on digits."""
