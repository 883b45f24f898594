# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The node on a machine whose GPU's engines take two seconds to build; OpenVINO computes."""

import logging
import sys
import time

from seg_perception.engines.build_watch import NotBuiltError
from seg_perception.engines.openvino_backend import OpenVinoBackend
from seg_perception.engines.select import BACKENDS, BackendEntry
from seg_perception.ros.node_main import main

LOGGER = logging.getLogger('seg_perception.building_node')
BUILD_S = 2.0
STEPS = 40


class BuildingBackend(OpenVinoBackend):
    """A double for TensorRT; nothing is kept for the next start."""

    def __init__(self, model, precision='auto', threads=0):
        super().__init__(model, 'f32', threads)
        self.name = 'tensorrt'
        self.cache_problem = ''

    def load_or_build(self, request, watch, may_build=True):
        if not may_build:
            raise NotBuiltError('nothing is kept')
        LOGGER.info('the double builds')
        for step in range(STEPS):
            watch.report('timing', step / STEPS)
            watch.require_wanted()
            time.sleep(BUILD_S / STEPS)
        return self.compile(request)


BACKENDS['tensorrt'] = BackendEntry('tensorrt', 'building_node', 'BuildingBackend')
if __name__ == '__main__':
    # found under this name by the entry, too
    sys.modules['building_node'] = sys.modules['__main__']
    sys.exit(main())
