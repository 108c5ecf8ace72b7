"""Train FC-DenseNet on recordings: `carlaseg train`, from a clone.

    python 02_fc_densenet.py --dataset dataset --size 128x128 --groups 3 --layers-per-block 3 --epochs 8 \
        --augment flip --learning-rate 0.003

Lab note. Three drives of 60 frames at 160x160 through three towns of the embedded simulator (script 01 with --frames
60 and --seed 1, 2, 3); two trained on, the third held out. 258,772 parameters, no GPU, two cores that eight other jobs
were using as well: 8 epochs in 7:59 (180 s of processor time in all, start included). On the town it never saw: pixel
accuracy 0.943, mean IoU 0.461 over 14 classes; fences, signs and pedestrians (below 0.1 % of the pixels) not found.
Result: runs/<date>_<time>_fc_densenet/, start with its README.md. All flags: --help, docs/training.md.
"""

import sys

from carlaseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
