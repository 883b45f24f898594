# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""colcon and pip both give a working package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

CHECKOUT = Path(__file__).resolve().parents[1]
CONSTRAINTS = sorted((CHECKOUT / 'requirements').glob('constraints-*.txt'))
SHARE_FILES = [
    'share/ament_index/resource_index/packages/seg_perception',
    'share/seg_perception/package.xml',
    'share/seg_perception/launch/segnext.launch.py',
    'share/seg_perception/launch/panoptic.launch.py',
    'share/seg_perception/launch/replay.launch.py',
    'share/seg_perception/config/segnext.yaml',
    'share/seg_perception/config/panoptic.yaml',
    'share/seg_perception/config/fastdds.xml',
    'share/seg_perception/config/foxglove_layout.json',
    'share/seg_perception/config/nav2_static_layer.yaml',
    'share/seg_perception/config/segnext.rviz',
    'share/seg_perception/models/segnext_t_street/model.onnx',
    'share/seg_perception/models/segnext_t_street/card.yaml',
]


@pytest.fixture(scope='module')
def source_tree(tmp_path_factory) -> Path:
    """Return a copy of the tracked files, so that a build leaves nothing in the checkout."""
    target = tmp_path_factory.mktemp('src') / 'seg_perception'
    listing = subprocess.run(
        ['git', 'ls-files', '-z'], cwd=CHECKOUT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listing.stdout.split('\0')):
        if (CHECKOUT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, target / name)
    return target


def list_requirements() -> list[str]:
    """Return what setup.py installs, extras included."""
    code = (
        'import runpy, setuptools as s;'
        's.setup = lambda **k: print("\\n".join(sum(k["extras_require"].values(), '
        'k["install_requires"])));'
        'runpy.run_path("setup.py")'
    )
    command = [sys.executable, '-c', code]
    return subprocess.run(
        command, cwd=CHECKOUT, check=True, capture_output=True, text=True
    ).stdout.split('\n')


def read_pins(path: Path) -> dict[str, str]:
    """Return the versions of a constraint file, and of those that it names, by package."""
    pins = {}
    for line in path.read_text(encoding='utf-8').splitlines():
        if line.startswith('-c '):
            pins.update(read_pins(path.with_name(line[3:])))
        elif line and not line.startswith('#'):
            name, _, version = line.partition('==')
            pins[canonicalize_name(name)] = version
    return pins


def test_tensorrt_is_never_installed_by_us():
    asked = [Requirement(line) for line in filter(None, list_requirements())]
    names = {canonicalize_name(requirement.name) for requirement in asked}
    assert 'numpy' in names and 'tensorrt-rtx-cu13-libs' in names
    assert not {name for name in names if name.startswith('tensorrt')} - {
        'tensorrt-rtx-cu13-libs',
        'tensorrt-rtx-cu13-bindings',
    }
    assert '<exec_depend>tensorrt' not in (CHECKOUT / 'package.xml').read_text(encoding='utf-8')


@pytest.mark.parametrize('path', CONSTRAINTS, ids=lambda path: path.stem)
def test_constraints_fit_what_we_ask_for(path):
    pins = read_pins(path)
    assert Version(pins['numpy']) < Version('2')  # apt's cv_bridge is built for NumPy 1
    asked = [Requirement(line) for line in filter(None, list_requirements())]
    wrong = [
        str(requirement)
        for requirement in asked
        if (pin := pins.get(canonicalize_name(requirement.name))) is not None
        and pin not in requirement.specifier
        # of the extra for TensorRT-RTX, which no Jetson takes
        and requirement.name != 'cuda-python'
    ]
    assert wrong == []
    assert {'numpy', 'scipy', 'numba', 'onnx', 'openvino'} <= set(pins)


def list_missing(prefix: Path, names: list[str]) -> list[str]:
    """Return those of the names that do not exist below the prefix."""
    return [name for name in names if not (prefix / name).exists()]


def run_python(code: str, site: Path, prefix: Path) -> str:
    """Run code with the installed package alone on the path, away from the checkout."""
    environment = dict(os.environ, PYTHONPATH=str(site), AMENT_PREFIX_PATH=str(prefix))
    result = subprocess.run(
        [sys.executable, '-c', code],
        cwd=prefix,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return result.stdout.strip()


FIND_MODEL = (
    'import seg_perception, seg_perception.resources as r;'
    'print(seg_perception.__file__); print(r.find_model())'
)


def test_pip_installs_everything_a_robot_needs(source_tree, tmp_path):
    prefix = tmp_path / 'prefix'
    command = [sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--no-build-isolation']
    # without --ignore-installed pip would uninstall the package of this environment first
    command += ['--ignore-installed', '--prefix', str(prefix)]
    subprocess.run([*command, str(source_tree)], check=True, timeout=300)
    names = [*SHARE_FILES, 'bin/seg_perception', 'lib/seg_perception/segmentation_node']
    assert list_missing(prefix, names) == []
    assert os.access(prefix / 'lib/seg_perception/segmentation_node', os.X_OK)
    site = next(prefix.glob('lib/python3*/site-packages'))
    package_file, model = run_python(FIND_MODEL, site, prefix).splitlines()
    assert package_file.startswith(str(prefix))
    assert model.startswith(str(prefix))
    data_files = ['labels/cityscapes.yaml', 'model_zoo/catalogue.yaml']
    data_files.append('evaluation/reports/report_page/page.html')
    assert list_missing(site / 'seg_perception', data_files) == []


@pytest.mark.parametrize('options', [[], ['--symlink-install']], ids=['copy', 'symlink'])
def test_colcon_builds_a_workspace(source_tree, tmp_path, options):
    colcon = CHECKOUT / '.venv-colcon' / 'bin' / 'colcon'
    if not colcon.exists():
        pytest.skip('colcon is not installed; "make test" makes .venv-colcon')
    (tmp_path / 'src').mkdir()
    shutil.copytree(source_tree, tmp_path / 'src' / 'seg_perception')
    environment = dict(os.environ, PATH=f'{colcon.parent}{os.pathsep}{os.environ["PATH"]}')
    environment.pop('PYTHONPATH', None)
    subprocess.run(
        [str(colcon), 'build', *options],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        timeout=300,
    )
    prefix = tmp_path / 'install' / 'seg_perception'
    names = [*SHARE_FILES, 'lib/seg_perception/segmentation_node', 'share/seg_perception/hook']
    assert list_missing(prefix, names) == []
    assert os.access(prefix / 'lib/seg_perception/segmentation_node', os.X_OK)
    if not options:
        site = next(prefix.glob('lib/python3*/site-packages'))
        assert run_python(FIND_MODEL, site, prefix).splitlines()[1].startswith(str(prefix))
