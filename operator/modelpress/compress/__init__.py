"""Compression of models, and the judgement of the result: runs in the compressor image."""
