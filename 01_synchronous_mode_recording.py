"""Record RGB and semantic segmentation in CARLA's synchronous mode: `carlaseg record`, from a clone.

    python 01_synchronous_mode_recording.py --simulator embedded
    python 01_synchronous_mode_recording.py --town Town03 --camera-size 600x800      # with a CARLA server on port 2000

Lab note. The first command: 200 frames of 160x160, one tick in five, 20 vehicles, 20 pedestrians, no GPU, no CARLA, two
cores that others were using as well: 200 complete frames, 0 dropped, 7.8 MB in 20 s (9.8 frames/s), 32 s with the start
of the simulator and the building of the town. The simulator took all of that time but 1 %.
Result: dataset/carlaseg_grid_ClearNoon_seed0000/, look at its contact_sheet.jpg. All flags: --help, docs/recording.md.
"""

import sys

from carlaseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["record", *sys.argv[1:]]))
