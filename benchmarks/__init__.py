"""Measurements beside PyTorch in one run: `python -m benchmarks eager`. Not part of the package, and no test depends on them."""
