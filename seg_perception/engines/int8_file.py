# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The int8 file of a model: the same graph with quantised convolutions, beside the model file.

Written by `seg_perception quantize`. ONNX's QuantizeLinear and DequantizeLinear say what is int8,
all of them symmetric (zero points are 0), which is what both OpenVINO and TensorRT take.
"""

from __future__ import annotations

from pathlib import Path

from seg_perception.engines.contract import EngineError
from seg_perception.engines.model_file import ModelFile, load_model_file

SUFFIX = '.int8.onnx'
PRECISION = 'int8'
# Instructions that add products of bytes into 32 bits. Without them sums of two products are kept
# in 16 bits, which the values of a quantised layer exceed.
BYTE_PRODUCTS = {'avx512_vnni', 'avx_vnni', 'amx_int8', 'asimddp', 'i8mm'}
CPU_FACTS = Path('/proc/cpuinfo')


def name_int8_file(path: Path) -> Path:
    """Return where the int8 file of a model file is: model.onnx, model.int8.onnx."""
    return path.with_name(path.name.removesuffix('.onnx') + SUFFIX)


def is_int8(model: ModelFile) -> bool:
    """Tell whether a model file is a quantised one itself."""
    return model.metadata.precision == PRECISION


def find_int8_problem(model: ModelFile) -> str:
    """Return why there is no int8 file to use for a model, '' where there is one."""
    try:
        load_int8_file(model)
    except EngineError as error:
        return str(error)
    return ''


def load_int8_file(model: ModelFile) -> ModelFile:
    """Return the int8 file of a model, the model itself where it is one.

    Raises:
        EngineError: there is none, it is damaged, or it was made from another file.
    """
    if is_int8(model):
        return model
    path = name_int8_file(model.path)
    if not path.is_file():
        raise EngineError(
            f'{model.path} has no int8 file ({path.name}) beside it; make one with '
            '"seg_perception quantize"'
        )
    found = load_model_file(path)
    if found.metadata.quantized_from != model.compute_sha256():
        raise EngineError(
            f'{path} was not made from {model.path.name} as it is now; make it anew with '
            '"seg_perception quantize"'
        )
    return found


def has_byte_products(cpu_facts: Path = CPU_FACTS) -> bool:
    """Tell whether the CPU multiplies bytes fast and without loss; False where it does not say."""
    try:
        lines = cpu_facts.read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError:
        return False
    flags = (
        line.partition(':')[2].split() for line in lines if line.startswith(('flags', 'Feat'))
    )
    return bool(BYTE_PRODUCTS & set(next(flags, [])))
