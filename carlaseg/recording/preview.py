"""A window with the RGB picture and the segmentation over it, while recording; or one sentence why there is none."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.console import say
from carlaseg.recording.rig import RigSpec
from carlaseg.recording.streams import SensorFrame

TITLE = "carlaseg record"
SEGMENTATION_SHARE = 0.45
SHORTEST_SIDE = 320
PROBE_TIMEOUT_S = 20.0
KEYS_KEPT = 32
"""Where nobody asks for them they must not grow without end."""
# A toolkit without a display does not raise, it aborts: so it is tried in a process that may.
PROBE = "import cv2; cv2.namedWindow('carlaseg'); cv2.waitKey(1); cv2.destroyAllWindows()"


class Preview:
    """Shows frames in a window where there is a display, and nothing where there is none.

    Args:
        palette: uint8 [256, 3] RGB, colours of the tags.
        wanted: whether the user asked for it.
    """

    def __init__(self, palette: NDArray[np.uint8], wanted: bool) -> None:
        self._palette = palette
        self._keys: deque[str] = deque(maxlen=KEYS_KEPT)
        self._open = wanted and self._can_open()

    @property
    def is_open(self) -> bool:
        """True while frames are shown."""
        return self._open

    def show(self, image: NDArray[np.uint8], tags: NDArray[np.uint8]) -> None:
        """Draw one frame: image uint8 [H, W, 3] RGB, tags uint8 [H, W]; closing the window ends the preview alone."""
        if not self._open:
            return
        picture = overlay(image, self._palette[tags])
        scale = max(1, -(-SHORTEST_SIDE // min(picture.shape[:2])))
        if scale > 1:
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)  # type: ignore[assignment]
        cv2.imshow(TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self._take_keys()
        if cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
            self._open = False
            say("preview", "the window was closed.")

    def keys(self) -> list[str] | None:
        """The keys pressed in the window since this was asked last; None once there is no window."""
        if not self._open:
            return None
        self._take_keys()
        pressed = list(self._keys)
        self._keys.clear()
        return pressed

    def _take_keys(self) -> None:
        # One call gives one key, and works the window's own events beside.
        while (code := cv2.waitKey(1)) >= 0:
            self._keys.append(chr(code & 0xFF))

    def __enter__(self) -> Preview:
        """Nothing is opened before the first frame."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the window."""
        if self._open:
            cv2.destroyAllWindows()

    @staticmethod
    def _can_open() -> bool:
        try:
            probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, timeout=PROBE_TIMEOUT_S)
            works = probe.returncode == 0
        except subprocess.TimeoutExpired:
            works = False
        if not works:
            say("preview", "expected a display to open a window on, found none; recording goes on without --preview.")
        return works


class Cockpit:
    """The preview as the windscreen of somebody who drives by it, and its keys.

    Args:
        preview: an open one.
        rig: whose pair of cameras is shown.
    """

    def __init__(self, preview: Preview, rig: RigSpec) -> None:
        self._preview = preview
        self._rig = rig

    def show(self, sensors: Mapping[str, SensorFrame]) -> None:
        """Draw what the pair saw, from the sensors' data by name."""
        self._preview.show(*self._rig.pair_arrays(sensors))

    def keys(self) -> list[str] | None:
        """The keys pressed since this was asked last; None once the window is closed."""
        return self._preview.keys()


def overlay(image: NDArray[np.uint8], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The segmentation laid over the picture: both and the result uint8 [H, W, 3] RGB."""
    return np.asarray(cv2.addWeighted(image, 1.0 - SEGMENTATION_SHARE, colours, SEGMENTATION_SHARE, 0.0), np.uint8)
