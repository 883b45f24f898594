# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What only the environment of requirements/tensorrt.txt can tell; answers are JSON on stdout.

    checks.py dla                       how a build for a DLA core is set up
    checks.py interfaces                names, methods and parameters of the real libraries
    checks.py logits IMAGES GRAPH...    GRAPH.npy for each: what ONNX Runtime computes
    checks.py select MODEL              what a node gets whose GPU is a fake and fails to load
    checks.py timings GRAPH             size of the timing cache of a build
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import sys
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

STUBS = 'tensorrt_bindings/tensorrt.pyi'


def describe_interfaces() -> dict[str, Any]:
    """Return {library: {class: {member: [parameters of each overload]}}}."""
    import tensorrt_rtx_bindings
    from cuda.bindings import runtime

    rtx = {
        name: {member: read_docstring(getattr(kind, member)) for member in dir(kind)}
        for name, kind in vars(tensorrt_rtx_bindings).items()
        if isinstance(kind, type)
    }
    cuda = {}
    for name in dir(runtime):
        value = getattr(runtime, name)
        if name.startswith('cuda') and not isinstance(value, type) and callable(value):
            cuda[name] = [list(inspect.signature(value).parameters)]
        elif name.startswith('cuda'):
            cuda[name] = sorted(getattr(value, '__members__', {}))
    return {'tensorrt_rtx': rtx, 'tensorrt': read_stubs(), 'cuda': {'runtime': cuda}}


def read_docstring(method: Any) -> list[list[str]]:
    """Return the parameter names of each overload that pybind11 wrote into a docstring."""
    text = inspect.getdoc(method) or ''
    signatures = re.findall(r'^(?:\d+\. )?\w+\((self: .*)\) -> ', text, re.MULTILINE)
    return [re.findall(r'(\w+): ', signature)[1:] for signature in signatures]


def read_stubs() -> dict[str, dict[str, list[list[str]]]]:
    """Return the same of the standard TensorRT, from its type stubs, line by line.

    They are not all valid Python: some have a default before a parameter without one.
    """
    package = importlib.util.find_spec('tensorrt_stubs')
    assert package is not None and package.origin is not None
    text = (Path(package.origin).parents[1] / STUBS).read_text(encoding='utf-8')
    interface: dict[str, dict[str, list[list[str]]]] = {}
    members: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        if found := re.match(r'class (\w+)', line):
            members = interface.setdefault(found[1], {})
        elif found := re.match(r'    def (\w+)\(self,? ?(.*)\)', line):
            members.setdefault(found[1], []).append(re.findall(r'(\w+): ', found[2]))
        elif found := re.match(r'    (?:class )?(\w+):', line):
            members.setdefault(found[1], [])
    return interface


def compute_logits(images_path: str, *graphs: str) -> dict[str, str]:
    """Run graphs node by node, none optimised, so that every rounding in them happens."""
    import onnxruntime

    images = np.load(images_path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    for graph in graphs:
        session = onnxruntime.InferenceSession(graph, options, ['CPUExecutionProvider'])
        logits = [session.run(None, {'image': image})[0][0] for image in images]
        np.save(f'{graph}.npy', np.stack(logits))
    return {'version': onnxruntime.__version__}


def select_backend(model: str) -> dict[str, str]:
    """Load and prepare a model with TensorRT-RTX for real on a GPU that is none."""
    from fake_gpu import FakeCudaRuntime

    from seg_perception.engines import cuda_device
    from seg_perception.engines.contract import EngineError
    from seg_perception.engines.select import EngineConfig, load_engine

    with (
        mock.patch.object(cuda_device, 'has_driver', lambda: True),
        mock.patch.object(cuda_device, 'load_runtime', FakeCudaRuntime),
    ):
        engine = load_engine(EngineConfig(model))
        answer = {'description': engine.description, 'fallback': engine.fallback_reason}
        try:
            engine.prepare((64, 128))
        except EngineError as error:
            answer['error'] = str(error)
        with mock.patch.object(cuda_device, 'load_runtime', lambda: FakeCudaRuntime((9, 0))):
            try:
                load_engine(EngineConfig(model, 'tensorrt_rtx', allow_fallback=False))
            except EngineError as error:
                answer['hopper'] = str(error)
    return answer


def measure_timings(graph: str) -> dict[str, int]:
    """Build with a timing cache; in TensorRT-RTX it is there and does nothing."""
    from seg_perception.engines.tensorrt_build import BuildSettings, build_plan, load_library

    warnings.simplefilter('ignore', DeprecationWarning)
    library = load_library('tensorrt_rtx')
    content = Path(graph).read_bytes()
    first = build_plan(library, content, BuildSettings(('sm89',), b''))
    second = build_plan(library, content, BuildSettings(('sm89',), first.timing_cache))
    return {'first': len(first.timing_cache), 'second': len(second.timing_cache)}


def describe_dla() -> dict[str, Any]:
    """Set a build up for a DLA core; TensorRT-RTX has the interface, and no such build."""
    from seg_perception.engines.tensorrt_build import (
        BuildSettings,
        EngineBuilder,
        LogKeeper,
        load_library,
    )

    library = load_library('tensorrt_rtx')
    log = LogKeeper(library)
    builder = library.module.Builder(log.logger)
    config = EngineBuilder(library, None)._configure(builder, BuildSettings(dla_core=0))
    return {
        'device': config.default_device_type.name,
        'gpu_fallback': config.get_flag(library.module.BuilderFlag.GPU_FALLBACK),
        'cores_here': library.module.Runtime(log.logger).num_DLA_cores,
    }


COMMANDS = {
    'dla': describe_dla,
    'interfaces': describe_interfaces,
    'logits': compute_logits,
    'select': select_backend,
    'timings': measure_timings,
}

if __name__ == '__main__':
    print(json.dumps(COMMANDS[sys.argv[1]](*sys.argv[2:])))
