"""Benchmarks. They say what they ran on; no test asserts their times."""
