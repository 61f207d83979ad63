"""Stores: fsspec URLs, credentials, digests, transfers, artifacts and their manifest."""
