"""Label schemes: what a class id means, its name and colour, and how the schemes translate into one another.

Rule 1: an id means nothing without its scheme. 12 is a traffic sign in CARLA 0.9.13 and a pedestrian in CARLA 0.9.14.
Rule 2: colours are derived from ids, never the other way round unless the scheme is known; colours are no key across
schemes.
Rule 3: void is `IGNORE_ID` in memory, whatever number it has on disk; no loss and no metric sees it.
Rule 4: nothing wraps. An id outside the scheme is an error that names the pixel, or white in a picture, never another
class.
"""

from __future__ import annotations

from carlaseg.labels.detection import Detection, detect, same_meaning, scheme_of_carla_version, scheme_of_tag_names
from carlaseg.labels.remaps import Remap, remap
from carlaseg.labels.scheme import IGNORE_ID, LabelClass, LabelScheme, require_one_scheme
from carlaseg.labels.tables import SCHEMES, scheme

__all__ = [
    "IGNORE_ID",
    "SCHEMES",
    "Detection",
    "LabelClass",
    "LabelScheme",
    "Remap",
    "detect",
    "remap",
    "require_one_scheme",
    "same_meaning",
    "scheme",
    "scheme_of_carla_version",
    "scheme_of_tag_names",
]
