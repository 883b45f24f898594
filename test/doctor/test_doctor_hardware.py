# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the processor can do, and a GPU that is there but of no use."""

from types import SimpleNamespace

import pytest

from seg_perception.doctor import hardware
from seg_perception.doctor.finding import OK, SKIPPED, WARN
from seg_perception.engines.contract import NoDeviceError


@pytest.mark.parametrize(
    ('flags', 'expected', 'absent'),
    [
        ('flags : fpu avx512_bf16 avx512_vnni', 'bfloat16 by avx512_bf16', 'no bfloat16'),
        ('flags : fpu amx_bf16 amx_int8', 'int8 products by amx_int8', 'no int8'),
        ('Features : fp asimddp', 'no bfloat16; int8 products by asimddp', 'no int8'),
        ('flags : fpu sse2', 'no bfloat16; no int8 products', 'by'),
    ],
)
def test_fast_arithmetic_is_read_from_the_processor(flags, expected, absent, tmp_path):
    path = tmp_path / 'cpuinfo'
    path.write_text(f'processor : 0\n{flags}\n')
    (finding,) = hardware.check_processor(path)
    assert finding.level == OK
    arithmetic = finding.text.partition('; ')[2]
    assert expected in arithmetic and absent not in arithmetic


def make_pci_device(folder, vendor, kind):
    folder.mkdir()
    (folder / 'vendor').write_text(f'{vendor}\n')
    (folder / 'class').write_text(f'{kind}\n')


def test_a_gpu_without_its_driver_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, 'has_driver', lambda: False)
    make_pci_device(tmp_path / '0000:00:02.0', '0x8086', '0x030000')
    make_pci_device(tmp_path / '0000:01:00.1', '0x10de', '0x040300')  # its sound card
    (finding,) = hardware.check_gpu(tmp_path)
    assert finding.level == SKIPPED
    make_pci_device(tmp_path / '0000:01:00.0', '0x10de', '0x030000')
    (finding,) = hardware.check_gpu(tmp_path)
    assert finding.level == WARN and 'no driver is loaded' in finding.text and finding.cure


def refuse():
    raise NoDeviceError('the NVIDIA driver has no GPU for this process')


def test_a_driver_that_gives_no_gpu_is_a_warning_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, 'has_driver', lambda: True)
    monkeypatch.setattr(hardware, 'CudaDevice', refuse)
    program = tmp_path / 'nvidia-smi'
    program.write_text('#!/bin/sh\necho "no devices were found" >&2\nexit 6\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    (finding,) = hardware.check_gpu(tmp_path)
    assert finding.level == WARN and 'nvidia-smi: no devices were found' in finding.text
    assert 'has no GPU for this process' in finding.text and '--gpus all' in finding.cure


def test_openvino_says_what_it_computes_in():
    (finding,) = hardware.check_openvino()
    assert finding.level == OK and 'FP32' in finding.text


def test_a_gpu_that_opens_is_named_with_its_driver(tmp_path, monkeypatch):
    device = SimpleNamespace(name='NVIDIA L4', compute_capability='sm89', free=lambda: None)
    monkeypatch.setattr(hardware, 'has_driver', lambda: True)
    monkeypatch.setattr(hardware, 'CudaDevice', lambda: device)
    program = tmp_path / 'nvidia-smi'
    program.write_text('#!/bin/sh\necho "NVIDIA L4, 580.65, 23034 MiB, 8.9"\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    (finding,) = hardware.check_gpu(tmp_path)
    assert finding.level == OK
    assert finding.text == 'NVIDIA L4 (sm89); nvidia-smi: NVIDIA L4, 580.65, 23034 MiB, 8.9'


def test_a_gpu_without_tensorrt_is_a_warning_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr(hardware, 'has_driver', lambda: True)
    monkeypatch.setattr(hardware, 'MODULES', {'tensorrt': ('no_such_tensorrt',)})
    (finding,) = hardware.check_tensorrt()
    assert finding.level == WARN and 'pip install tensorrt' in finding.cure


def test_a_tensorrt_that_does_not_load_is_a_warning(monkeypatch, tmp_path):
    (tmp_path / 'broken_tensorrt.py').write_text("raise OSError('libnvinfer.so.10 is missing')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(hardware, 'has_driver', lambda: True)
    monkeypatch.setitem(hardware.MODULES, 'tensorrt', ('broken_tensorrt',))
    monkeypatch.setitem(hardware.MODULES, 'tensorrt_rtx', ('no_such_tensorrt',))
    (finding,) = hardware.check_tensorrt()
    assert finding.level == WARN and 'libnvinfer.so.10 is missing' in finding.text
