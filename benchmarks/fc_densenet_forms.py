"""The forms of FC-DenseNet that benchmarks/training.py can measure. Imports nothing heavy: it is read by every side."""

from __future__ import annotations

from typing import Any

_AS_PUBLISHED: dict[str, Any] = {"first_filters": 48, "first_kernel": 3, "compression": 1.0, "pooling": "max"}
FORMS: dict[str, dict[str, Any]] = {
    "fc_densenet": {},
    "fc_densenet56": _AS_PUBLISHED | {"layers_per_block": 4, "growth_rate": 12},
    "fc_densenet67": _AS_PUBLISHED | {"layers_per_block": 5, "growth_rate": 16},
    "fc_densenet103": _AS_PUBLISHED | {"layers_per_block": (4, 5, 7, 10, 12, 15, 12, 10, 7, 5, 4), "growth_rate": 16},
}
"""Arguments of `plain_fc_densenet` and of PyTorch's `Tiramisu` that make the networks of `carlaseg.models`."""
