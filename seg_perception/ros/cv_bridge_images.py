# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Camera encodings that this package does not know, read by the cv_bridge of a ROS install.

Every encoding that cv_bridge 3 and 4 make colour of is in perception/encodings.py, with the same
result and without their copy. What is left for cv_bridge is what a newer one learns (nv24).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np


def convert_by_cv_bridge(message: Any) -> np.ndarray:
    """Return the (height, width, 3) uint8 RGB image of a sensor_msgs/Image.

    cv_bridge is imported at the first call: it brings a second OpenCV into the process, and
    cameras with known encodings never need it.

    Raises:
        ValueError: there is no cv_bridge, or it cannot read the image.
    """
    bridge = _load_bridge()
    if isinstance(bridge, str):
        raise ValueError(bridge)
    # a foreign package: whatever it raises (TypeError, RuntimeError, KeyError, cv2.error were
    # seen in its sources), the image cannot be read by it
    try:
        image = np.asarray(bridge.imgmsg_to_cv2(message, 'rgb8'))
    except Exception as error:
        raise ValueError(f'cv_bridge cannot read it either: {error}') from error
    expected = (message.height, message.width, 3)
    if image.shape != expected or image.dtype != np.uint8:
        raise ValueError(
            f'cv_bridge made {image.dtype} of shape {image.shape} of it, expected uint8 of '
            f'shape {expected}'
        )
    return np.ascontiguousarray(image)


@cache
def _load_bridge() -> Any:
    """Return a CvBridge, or the text why there is none."""
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except ImportError:
        return 'cv_bridge, which may know more, is not installed'
    # one that was built for NumPy 1 raises AttributeError under NumPy 2
    except Exception as error:
        return f'cv_bridge cannot be imported: {type(error).__name__}: {error}'
