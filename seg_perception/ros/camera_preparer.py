# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Lookup tables of the camera, made in a thread of their own so that no mask waits for them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from seg_perception.perception.camera_pose import GroundView
from seg_perception.perception.clouds import CloudMaker
from seg_perception.perception.ground_grid import PreparedCamera, prepare_camera
from seg_perception.perception.occupancy_config import OccupancyConfig


@dataclass(frozen=True)
class Preparation:
    """What was made for one view.

    Attributes:
        camera: its tables.
        clouds: None where they were not asked for.
        duration_s: what it took.
        error: why it failed, '' where it did not; then there is nothing else.
    """

    camera: PreparedCamera | None
    clouds: CloudMaker | None
    duration_s: float
    error: str = ''


class CameraPreparer:
    """Prepares the newest view asked for; calls never wait. Ends with `close`."""

    def __init__(self, config: OccupancyConfig) -> None:
        self._config = config
        self._wakeup = threading.Condition()
        self._wanted: tuple[GroundView, bool] | None = None
        self._done: Preparation | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name='camera_preparer', daemon=True)
        self._thread.start()

    def request(self, view: GroundView, with_clouds: bool) -> None:
        """Ask for a view; one that waits still is forgotten."""
        with self._wakeup:
            self._wanted = (view, with_clouds)
            self._wakeup.notify()

    def take(self) -> Preparation | None:
        """Return what was finished since the last call."""
        with self._wakeup:
            done, self._done = self._done, None
            return done

    def close(self) -> None:
        """End the thread after what it has in hand."""
        with self._wakeup:
            self._is_closed, self._wanted = True, None
            self._wakeup.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wakeup:
                self._wakeup.wait_for(lambda: self._wanted is not None or self._is_closed)
                if self._wanted is None:
                    return
                view, with_clouds = self._wanted
                self._wanted = None
            done = self._prepare(view, with_clouds)
            with self._wakeup:
                self._done = done

    def _prepare(self, view: GroundView, with_clouds: bool) -> Preparation:
        start_s = time.perf_counter()
        try:
            camera = prepare_camera(view, self._config.grid)
            clouds = CloudMaker(self._config, view) if with_clouds else None
        # Memory, above all: a calibration may name an image of any size. The thread goes on.
        except Exception as error:
            return Preparation(None, None, 0.0, f'{type(error).__name__}: {error}')
        return Preparation(camera, clouds, time.perf_counter() - start_s)
