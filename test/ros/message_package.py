# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Generates a Python message package from .msg texts with the ROS generators, and compiles it.

Without CMake: everything of the package goes into one extension module, which finds the libraries
of the messages it builds upon in the Python environment that holds rclpy.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TYPE_SUPPORT = 'rosidl_typesupport_fastrtps_c'
GENERATORS = ('rosidl_adapter', 'rosidl_generator_c', 'rosidl_generator_py', TYPE_SUPPORT)
# What the node publishes of vision_msgs 4.1.1, which is no wheel.
VISION_MSGS = {
    'VisionClass': 'uint16 class_id\nstring class_name\n',
    'LabelInfo': (
        'std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n'
    ),
    'Point2D': 'float64 x\nfloat64 y\n',
    'Pose2D': 'vision_msgs/Point2D position\nfloat64 theta\n',
    'BoundingBox2D': 'vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y\n',
    'ObjectHypothesis': 'string class_id\nfloat64 score\n',
    'ObjectHypothesisWithPose': (
        'vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n'
    ),
    'Detection2D': (
        'std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n'
        'vision_msgs/BoundingBox2D bbox\nstring id\n'
    ),
    'Detection2DArray': 'std_msgs/Header header\nvision_msgs/Detection2D[] detections\n',
}
COMPILERS = ('gcc', 'g++')


def find_missing_tools() -> list[str]:
    """Return what is missing here to build a message package."""
    missing = [name for name in GENERATORS if importlib.util.find_spec(name) is None]
    missing += [name for name in COMPILERS if shutil.which(name) is None]
    header = Path(sysconfig.get_path('include')) / 'Python.h'
    return missing if header.is_file() else [*missing, str(header)]


def build_message_package(
    folder: Path, package: str, definitions: Mapping[str, str], depends: tuple[str, ...]
) -> None:
    """Make an importable message package in a folder; some 10 s on two cores.

    Args:
        folder: goes onto PYTHONPATH afterwards.
        package: its name.
        definitions: text of the .msg file by message name.
        depends: packages whose messages the definitions use, direct and indirect.
    """
    target = folder / package
    generate_sources(folder, package, definitions)
    (target / '__init__.py').touch()
    sources = [path for path in target.rglob('*.c*') if is_needed(path, package)]
    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(lambda path: compile_source(path, folder), sorted(sources)))
    library_folder = Path(sys.prefix) / 'lib'
    kinds = ('rosidl_generator_c', 'rosidl_generator_py', TYPE_SUPPORT)
    libraries = [f'{name}__{kind}' for name in depends for kind in kinds]
    libraries += ['rosidl_runtime_c', 'rosidl_typesupport_c', TYPE_SUPPORT]
    libraries += ['rosidl_typesupport_fastrtps_cpp', 'fastcdr', 'rcutils', 'rmw']
    module = target / f'{package}_s__rosidl_typesupport_c.so'
    run(
        *('g++', '-shared', '-o', str(module), *map(str, objects), f'-L{library_folder}'),
        *(f'-l{name}' for name in libraries),
        f'-Wl,-rpath,{library_folder}',
    )


def generate_sources(folder: Path, package: str, definitions: Mapping[str, str]) -> None:
    """Write C, C++ and Python sources of the messages into folder/package."""
    from rosidl_adapter.msg import convert_msg_to_idl
    from rosidl_generator_c.cli import GenerateC
    from rosidl_generator_py.cli import GeneratePython
    from rosidl_typesupport_c.cli import GenerateCTypesupport
    from rosidl_typesupport_fastrtps_c.cli import GenerateFastRTPSCTypesupport

    target = folder / package
    (target / 'msg').mkdir(parents=True)
    for name, text in definitions.items():
        message = Path('msg') / f'{name}.msg'
        (target / message).write_text(text, encoding='utf-8')
        convert_msg_to_idl(target, package, message, target / 'msg')
    # one type support: then it is called directly and not looked up among libraries by name
    only = [TYPE_SUPPORT]
    for generator in (
        GenerateC('c'),
        GeneratePython('py', typesupport_implementations=['rosidl_typesupport_c']),
        GenerateCTypesupport('c', typesupport_implementations=only),
        GenerateFastRTPSCTypesupport('fastrtps_c'),
    ):
        generator.generate(
            package_name=package,
            interface_files=[f'{target}:msg/{name}.idl' for name in definitions],
            include_paths=[str(Path(sys.prefix) / 'share'), str(folder)],
            output_path=target,
        )


def is_needed(path: Path, package: str) -> bool:
    """Tell whether a generated file is one to compile for the one type support."""
    if path.suffix not in ('.c', '.cpp'):
        return False
    # the plain C type support would define the same symbols as that of rosidl_typesupport_c
    is_plain = path.parent.name == 'detail' and path.name.endswith('__type_support.c')
    return not is_plain and not path.name.startswith(f'_{package}_s.ep.rosidl_typesupport_f')


def compile_source(path: Path, include: Path) -> Path:
    """Compile one file; returns the object beside it."""
    compiler = ['g++', '-std=c++17'] if path.suffix == '.cpp' else ['gcc', '-std=gnu11']
    headers = Path(sys.prefix) / 'include'
    includes = [include, sysconfig.get_path('include'), numpy_include(), headers]
    includes += sorted(headers.iterdir())
    target = path.with_name(path.name + '.o')
    flags = (f'-I{folder}' for folder in includes)
    run(*compiler, '-O0', '-w', '-fPIC', '-c', str(path), '-o', str(target), *flags)
    return target


def numpy_include() -> str:
    """Return the folder of NumPy's C headers."""
    import numpy

    return numpy.get_include()


def run(*command: str) -> None:
    """Run a compiler; its messages are the error."""
    environment = {**os.environ, 'LC_ALL': 'C'}
    # the ROS wheels' library path would be the compiler's too
    environment.pop('LD_LIBRARY_PATH', None)
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, f'{command[0]} failed:\n{result.stderr[-3000:]}'
