# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The package's rooms import only what their place allows."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import seg_perception

PACKAGE = Path(seg_perception.__file__).parent
ROS_MODULES = {
    'builtin_interfaces',
    'cv_bridge',
    'diagnostic_msgs',
    'geometry_msgs',
    'lifecycle_msgs',
    'nav_msgs',
    'rcl_interfaces',
    'rclpy',
    'sensor_msgs',
    'std_msgs',
    'tf2_ros',
    'vision_msgs',
}
LIGHT_MODULES = [
    'seg_perception.cli',
    'seg_perception.pipeline',
    'seg_perception.engines.select',
    'seg_perception.evaluation.drives.evaluate',
    'seg_perception.sample.drive',
]


def list_imports(path: Path) -> set[str]:
    """Return the top-level names of all packages that a file imports, lazily or not."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or '').split('.')[0])
    return names


def list_violations(forbidden: set[str], allowed_places: tuple[str, ...]) -> list[str]:
    """Return 'file: modules' for each file outside the allowed places that imports them."""
    violations = []
    for path in sorted(PACKAGE.rglob('*.py')):
        relative = path.relative_to(PACKAGE).as_posix()
        if relative.startswith(allowed_places):
            continue
        found = list_imports(path) & forbidden
        if found:
            violations.append(f'{relative}: {sorted(found)}')
    return violations


def test_only_ros_imports_ros():
    assert list_violations(ROS_MODULES, ('ros/',)) == []


def test_only_networks_training_and_torch_backend_import_torch():
    allowed = ('networks/', 'training/', 'engines/torch_backend.py')
    assert list_violations({'torch'}, allowed) == []


def test_only_the_fleet_imports_ray():
    assert list_violations({'ray'}, ('evaluation/drives/fleet.py',)) == []


def test_only_evaluation_reads_bags():
    assert list_violations({'rosbags'}, ('evaluation/',)) == []


@pytest.mark.parametrize('module', LIGHT_MODULES)
def test_importing_does_not_load_torch(module):
    code = f'import sys, {module}; sys.exit("torch" in sys.modules)'
    subprocess.run([sys.executable, '-c', code], check=True, timeout=120)
