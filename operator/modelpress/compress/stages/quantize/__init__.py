"""Stage quantize, on the exported graph: weights as integers of 8 or 4 bits, activations in 8 bits or in float.

`stage` is the way through; `integers` is onnxruntime's own quantizer for 8-bit activations; everything else is weights
in groups: `candidates` finds them, `weights` decides, `rounding`, `gptq` and `awq` round, `writing` writes.
"""

from .stage import run

__all__ = ["run"]
