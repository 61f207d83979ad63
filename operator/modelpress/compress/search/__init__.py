"""A recipe for this model, this data and this machine: candidates, what is tried next, and what is chosen.

Pure: `space`, `strategy`, `front`, `budget`. Edges: `looking` at the model, `trying` a recipe out, `records` of what
was tried, and `searching`, which leads all of them.
"""
