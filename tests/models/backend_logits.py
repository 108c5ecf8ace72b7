"""Run by test_other_backends.py in a process of its own: a file, then names of networks whose logits go into it."""

from __future__ import annotations

import sys

from carlaseg.backend import prepare_backend

prepare_backend()

import contract  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

path, *names = sys.argv[1:]
pictures = contract.images(*contract.ODD_SIZE, count=1)
logits = {name: keras.ops.convert_to_numpy(contract.smallest(name)(pictures, training=False)) for name in names}
np.savez(path, backend=keras.backend.backend(), **logits)
