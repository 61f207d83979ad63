"""The compression benchmark: one file per row of the table; see README.md."""
