#!/usr/bin/env python3
"""Segment a folder of images with a trained network.

    python 03_inference.py                                    the newest run, on dataset_test/
    python 03_inference.py --run runs/NAME --input FOLDER     any run, any folder of images

It writes dataset_out/<run>_<input>/: ids/, colours/, panels/ (image, truth, prediction, median-filtered prediction,
overlay), predictions.jsonl, and where there is truth metrics.json, per_class.csv and a confusion matrix.
`--help` lists all flags; `carlaseg infer` is the same command. docs/inference.md explains every file.

Measured on two busy AMD EPYC cores (no GPU), 40 images of 160x160 with truth: 51 images a second with 70,609 parameters
at 96x96, 16 a second with 727,838 parameters at 160x160 (60 ms an image in the network), panels and scores included.
"""

import sys

from carlaseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["infer", *sys.argv[1:]]))
