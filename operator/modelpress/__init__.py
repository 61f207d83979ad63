"""modelpress: compress a model, prove what it cost, serve it on Triton, roll it out or back."""

__version__ = "0.6.0"
