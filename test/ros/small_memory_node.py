# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The node on a device whose OpenVINO cannot compile for cameras of more than 100 rows."""

import sys

from seg_perception.engines.contract import BackendUnavailableError
from seg_perception.engines.openvino_backend import OpenVinoBackend
from seg_perception.ros.node_main import main

compile_for_any_camera = OpenVinoBackend.compile


def compile_for_small_cameras(self, request):
    if request.camera_hw[0] > 100:
        raise BackendUnavailableError('out of memory in this test')
    return compile_for_any_camera(self, request)


OpenVinoBackend.compile = compile_for_small_cameras
if __name__ == '__main__':
    sys.exit(main())
