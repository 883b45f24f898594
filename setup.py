# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Installs the package with colcon (ament_python) or pip."""

from glob import glob

from setuptools import find_packages, setup

package_name = 'seg_perception'


def list_models() -> list:
    """Return data_files entries that keep the folder of each model.

    glob, since `colcon build --symlink-install` runs this file also where there are no models.
    """
    folders = sorted(glob('models/*/'))
    entries = [(f'share/{package_name}/models', glob('models/*.md'))]
    for folder in folders:
        entries.append((f'share/{package_name}/{folder.rstrip("/")}', glob(f'{folder}*')))
    return entries


setup(
    name=package_name,
    version='0.1.0',
    packages=find_packages(include=[package_name, f'{package_name}.*']),
    package_data={
        package_name: [
            'py.typed',
            'labels/*.yaml',
            'model_zoo/*.yaml',
            'evaluation/reports/report_page/*',
        ]
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{package_name}']),
        (f'share/{package_name}', ['package.xml']),
        (f'share/{package_name}/launch', glob('launch/*.launch.py')),
        (f'share/{package_name}/config', glob('config/*.*')),
        (f'share/{package_name}/config/training', glob('config/training/*')),
        # ros2 run and ros2 launch look here; pip puts console scripts in bin/ alone.
        (f'lib/{package_name}', ['resource/bin/segmentation_node']),
        *list_models(),
    ],
    python_requires='>=3.10',
    install_requires=['numpy>=1.21', 'scipy>=1.8', 'pyyaml', 'numba', 'onnx>=1.16'],
    extras_require={
        # A robot: one OpenCV (any flavour, apt's included) and one engine.
        'opencv': ['opencv-python-headless'],
        'openvino': ['openvino>=2024.4'],
        'tensorrt-rtx': [
            'tensorrt-rtx-cu13-libs',
            'tensorrt-rtx-cu13-bindings',
            'cuda-python>=13',
            'tqdm',
        ],
        # A desk: bags, scores, training.
        'bags': ['rosbags>=0.11', 'backports.zstd; python_version<"3.14"', 'lz4', 'tqdm'],
        'fleet': ['ray>=2.52'],
        'train': ['torch>=2.4', 'safetensors', 'tqdm'],
        'quantize': ['nncf>=3', 'onnxruntime', 'openvino>=2024.4', 'rosbags>=0.11', 'tqdm'],
    },
    zip_safe=False,
    author='seg_perception maintainers',
    maintainer='seg_perception maintainers',
    maintainer_email='seg-perception@example.com',
    description='Real-time semantic segmentation for ROS 2 robots.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'seg_perception = seg_perception.cli:main',
            'segmentation_node = seg_perception.ros.node_main:main',
        ],
    },
)
