# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Processor, GPU and the libraries that compute on them. Torch is not imported."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from seg_perception.doctor.finding import OK, SKIPPED, WARN, Finding
from seg_perception.engines.contract import BackendUnavailableError, NoDeviceError
from seg_perception.engines.cuda_device import CudaDevice, has_driver
from seg_perception.engines.int8_file import BYTE_PRODUCTS, CPU_FACTS
from seg_perception.engines.tensorrt_build import INSTALL, MODULES, load_library
from seg_perception.evaluation.machine import count_cores, read_cpu_model

SECTION = 'Processor and GPU'
BFLOAT16_FLAGS = {'avx512_bf16', 'amx_bf16', 'bf16'}
PCI_DEVICES = Path('/sys/bus/pci/devices')
NVIDIA_VENDOR = '0x10de'
DISPLAY_CLASS = '0x03'
QUERY = ('--query-gpu=name,driver_version,memory.total,compute_cap', '--format=csv,noheader')
QUERY_TIMEOUT_S = 20.0
NO_DRIVER = 'no NVIDIA driver on this machine'


def check_processor(cpu_facts: Path = CPU_FACTS) -> Iterator[Finding]:
    """Say what the processor is and which fast arithmetic it has."""
    flags = read_cpu_flags(cpu_facts)
    parts = [f'{read_cpu_model()}, {count_cores()} cores']
    for kind, names in (('bfloat16', BFLOAT16_FLAGS), ('int8 products', BYTE_PRODUCTS)):
        found = ', '.join(sorted(names & flags))
        parts.append(f'{kind} by {found}' if found else f'no {kind}')
    yield Finding(SECTION, 'processor', OK, '; '.join(parts))


def read_cpu_flags(cpu_facts: Path) -> set[str]:
    """Return the instruction sets of the first core; none where the system does not say."""
    try:
        lines = cpu_facts.read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError:
        return set()
    found = (line for line in lines if line.startswith(('flags', 'Features')))
    return set(next(found, '').partition(':')[2].split())


def check_gpu(pci_devices: Path = PCI_DEVICES) -> Iterator[Finding]:
    """Say which NVIDIA GPU there is, with its driver."""
    if not has_driver():
        if has_nvidia_device(pci_devices):
            yield Finding(
                SECTION,
                'GPU',
                WARN,
                'an NVIDIA GPU is built in, but no driver is loaded',
                'install the NVIDIA driver; in a container, start it with --gpus all',
            )
        else:
            yield Finding(SECTION, 'GPU', SKIPPED, f'{NO_DRIVER}; the processor is used')
        return
    name = query_gpu() or 'NVIDIA driver without nvidia-smi'
    try:
        device = CudaDevice()
    except BackendUnavailableError as error:
        is_absent = isinstance(error, NoDeviceError)
        cure = 'start the container with --gpus all' if is_absent else 'pip install cuda-python'
        yield Finding(SECTION, 'GPU', WARN, f'{name}: not usable: {error}', cure)
        return
    name = f'{device.name} ({device.compute_capability}); {name}'
    device.free()
    yield Finding(SECTION, 'GPU', OK, name)


def has_nvidia_device(pci_devices: Path) -> bool:
    """Tell whether a graphics card of NVIDIA is on the PCI bus, driver or not."""
    for folder in pci_devices.glob('*'):
        try:
            vendor = (folder / 'vendor').read_text(encoding='ascii').strip()
            kind = (folder / 'class').read_text(encoding='ascii').strip()
        except OSError:
            continue
        if vendor == NVIDIA_VENDOR and kind.startswith(DISPLAY_CLASS):
            return True
    return False


def query_gpu() -> str:
    """Return name, driver, memory and compute capability as nvidia-smi says, '' without it."""
    program = shutil.which('nvidia-smi')
    if program is None:
        return ''
    try:
        result = subprocess.run(
            [program, *QUERY], capture_output=True, text=True, timeout=QUERY_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f'nvidia-smi failed: {error}'
    lines = (result.stdout if result.returncode == 0 else result.stderr).strip().splitlines()
    return 'nvidia-smi: ' + ('; '.join(lines) or f'exit status {result.returncode}')


def check_tensorrt() -> Iterator[Finding]:
    """Say which of TensorRT and TensorRT-RTX is installed, and whether it can be of use."""
    names = {
        name: any(importlib.util.find_spec(module) for module in modules)
        for name, modules in MODULES.items()
    }
    if not has_driver():
        installed = [name for name, is_there in names.items() if is_there]
        what = f'{" and ".join(installed)} installed' if installed else 'not installed'
        yield Finding(SECTION, 'TensorRT', SKIPPED, f'{what}; {NO_DRIVER}')
        return
    if not any(names.values()):
        yield Finding(
            SECTION,
            'TensorRT',
            WARN,
            'not installed: the GPU is used by torch at best',
            '; or '.join(INSTALL.values()),
        )
    for name, is_there in names.items():
        if is_there:
            yield check_tensorrt_library(name)


def check_tensorrt_library(name: str) -> Finding:
    """Import an installed library."""
    try:
        library = load_library(name)
    except BackendUnavailableError as error:
        return Finding(SECTION, name, WARN, str(error), INSTALL[name])
    return Finding(SECTION, name, OK, library.version)


def check_openvino() -> Iterator[Finding]:
    """Say which OpenVINO is installed, and what it computes in on this processor."""
    try:
        import openvino
    except ImportError as error:
        yield Finding(
            SECTION, 'OpenVINO', WARN, f'not installed ({error})', 'pip install openvino'
        )
        return
    from seg_perception.engines.openvino_backend import BFLOAT16, DEVICE, open_core

    version = openvino.__version__.split('-')[0]
    try:
        known = open_core().get_property(DEVICE, 'OPTIMIZATION_CAPABILITIES')
    except RuntimeError as error:
        yield Finding(
            SECTION, 'OpenVINO', WARN, f'{version} has no device CPU: {error}', 'install it anew'
        )
        return
    fastest = 'bfloat16' if BFLOAT16 in known else 'no bfloat16'
    yield Finding(
        SECTION, 'OpenVINO', OK, f'{version}: {fastest}; it knows {", ".join(sorted(known))}'
    )
