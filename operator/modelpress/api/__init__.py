"""The resources as types: what a user writes, what the operator answers, and what pods are told.

Imports nothing of ours.
"""
