# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The examination: every check in the order of the page.

Checks are named and not imported here: a package that is missing, or crashes on import, is a
finding of the check that needs it and not the end of the page.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from seg_perception.doctor.finding import Finding, run_check
from seg_perception.doctor.packages import REQUIREMENTS
from seg_perception.ros.doctor import COMPANIONS


@dataclass(frozen=True)
class ExamineConfig:
    """What is examined.

    Attributes:
        model: name of a model or path of an .onnx file, '' for the default model.
        backend: as parameter model.backend.
        image_topic: camera topic that has to work, '' for all there are.
        duration_s: how long to listen on the camera topics.
    """

    model: str = ''
    backend: str = 'auto'
    image_topic: str = ''
    duration_s: float = 3.0


class LazyCheck:
    """A check by the place of its function, which is imported when the check is run."""

    def __init__(self, name: str, module: str, function: str, *arguments: Any) -> None:
        """Import nothing yet; name: of the finding, should the check break."""
        self.name = name
        self._module = module
        self._function = function
        self._arguments = arguments

    def __call__(self) -> Iterable[Finding]:
        """Run the check."""
        function = getattr(import_module(self._module), self._function)
        findings: Iterable[Finding] = function(*self._arguments)
        return findings


def examine(config: ExamineConfig) -> Iterator[list[Finding]]:
    """Yield the findings of each section as soon as it is done; no check ends it."""
    for section, checks in list_checks(config).items():
        yield [finding for check in checks for finding in run_check(section, check.name, check)]


def list_checks(config: ExamineConfig) -> dict[str, list[LazyCheck]]:
    """Return the checks by section, in the order of the page."""
    environment = dict(os.environ)  # the shell's: some checks complete that of this process
    packages, hardware = 'seg_perception.doctor.packages', 'seg_perception.doctor.hardware'
    model, engine = 'seg_perception.doctor.model', 'seg_perception.doctor.engine'
    ros = 'seg_perception.ros.doctor'
    return {
        'Python': [
            LazyCheck('seg_perception', packages, 'check_package'),
            LazyCheck('Python', packages, 'check_python'),
            *(LazyCheck(each.name, packages, 'check_requirement', each) for each in REQUIREMENTS),
        ],
        'ROS 2': [
            LazyCheck('rclpy', ros, 'check_rclpy'),
            LazyCheck('middleware', ros, 'check_middleware', environment),
            LazyCheck('shared memory', ros, 'check_shared_memory'),
            *(LazyCheck(each.module, ros, 'check_companion', each) for each in COMPANIONS),
        ],
        'Transport': [
            LazyCheck('images', f'{ros}_transport', 'check_transport', environment),
        ],
        'Processor and GPU': [
            LazyCheck('processor', hardware, 'check_processor'),
            LazyCheck('GPU', hardware, 'check_gpu'),
            LazyCheck('TensorRT', hardware, 'check_tensorrt'),
            LazyCheck('OpenVINO', hardware, 'check_openvino'),
        ],
        'Model': [
            LazyCheck('model file', model, 'check_model_file', config.model),
            LazyCheck('engine folder', model, 'check_engine_folder'),
        ],
        'Engine': [LazyCheck('engine', engine, 'check_engine', config.model, config.backend)],
        'Topics': [
            LazyCheck(
                'image topics',
                f'{ros}_topics',
                'check_topics',
                config.image_topic,
                config.duration_s,
                environment,
            )
        ],
    }
