"""The inside of a run folder, and the one way to save and load a network.

    runs/2026-11-20_185500_fc_densenet103/
      README.md            the model card                      config.json   the effective settings; `--config` reads it
      model.json           what it takes to build the network: name, options, classes, size
      environment.json     versions and machine                log.txt       the header and a line an epoch
      metrics.jsonl .csv   a line an epoch                     per_class.csv confusion.csv   the best weights' scores
      best.weights.h5      weights, by validation mIoU         last.weights.h5   weights, optimiser, training state
      check_*  predictions/  curves.png                        pictures

Rule 1: a run folder is made once, by one process, and never overwritten.
Rule 2: every file is written beside its place and renamed into it, so a file that exists is whole.
Rule 3: a weights file holds one HDF5 data set a variable, under the variable's own name, checksummed. Reading it runs
no code from it, takes no more memory than the network it is for, and says which variable does not fit.
"""

from __future__ import annotations

from carlaseg.checkpoint.kept import FOLDER as KEPT
from carlaseg.checkpoint.kept import find_kept, kept_names
from carlaseg.checkpoint.run import ModelCard, RunFolder, Which
from carlaseg.checkpoint.weights import load_model, load_training_state, load_weights, save_weights

__all__ = [
    "KEPT",
    "ModelCard",
    "RunFolder",
    "Which",
    "find_kept",
    "kept_names",
    "load_model",
    "load_training_state",
    "load_weights",
    "save_weights",
]
