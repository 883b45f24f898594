# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the CPU: the engine of robots without an NVIDIA GPU.

One request, inputs and outputs in memory that both sides share: no copy of the image or of the
logits, no allocation per frame. The GIL is free during inference.
"""

from __future__ import annotations

import ctypes
import functools
import logging
from typing import Any

import numpy as np

from seg_perception.engines.base import (
    CompileRequest,
    Session,
    choose_precision,
    require_image,
)
from seg_perception.engines.contract import LOGITS, BackendUnavailableError, EngineError
from seg_perception.engines.hidden_split import split_hidden_layers
from seg_perception.engines.int8_file import PRECISION as INT8
from seg_perception.engines.int8_file import (
    find_int8_problem,
    has_byte_products,
    is_int8,
    load_int8_file,
    name_int8_file,
)
from seg_perception.engines.model_file import ModelFile
from seg_perception.engines.prelude import specialise

LOGGER = logging.getLogger(__name__)
DEVICE = 'CPU'
# OpenVINO's name, reported only where the CPU computes it.
BFLOAT16 = 'BF16'
# What is not quantised in an int8 file: with 'bf16' OpenVINO 2026.4 refuses such files.
HINTS = {'int8': 'f32'}


@functools.cache
def open_core() -> Any:
    """Return OpenVINO's core, one for the life of the process.

    Its CPU plugin gives the thread that loads it a stack for signals, and takes the memory away
    when the plugin goes: where that happens in another thread, the next signal (Ctrl-C) ends the
    process with SIGSEGV. Seen with OpenVINO 2026.4.
    """
    import openvino

    return openvino.Core()


class OpenVinoBackend:
    """A model in OpenVINO; see `base.Backend`."""

    name = 'openvino'

    def __init__(self, model: ModelFile, precision: str = 'auto', threads: int = 0) -> None:
        """Ask the device what it can do.

        Args:
            model: the model file.
            precision: 'auto' (bf16 where the CPU has it, else int8 where the model has such a
                file and the CPU multiplies bytes, else f32), 'f32', 'bf16' or 'int8'.
            threads: CPU threads, 0 for all physical cores.

        Raises:
            BackendUnavailableError: OpenVINO is not installed or finds no CPU device.
            EngineError: the precision is not available.
        """
        try:
            import openvino
        except ImportError as error:
            raise BackendUnavailableError(
                f'OpenVINO is not installed ({error}); pip install openvino'
            ) from error
        self._openvino = openvino
        self._core = open_core()
        try:
            device = str(self._core.get_property(DEVICE, 'FULL_DEVICE_NAME')).strip()
            reported = self._core.get_property(DEVICE, 'OPTIMIZATION_CAPABILITIES')
        except RuntimeError as error:
            raise BackendUnavailableError(
                f'OpenVINO {openvino.__version__} has no {DEVICE} device: {error}'
            ) from error
        known = list_precisions(model, BFLOAT16 in reported)
        self.precision = choose_precision(precision, known, self.name, device)
        self._model = load_int8_file(model) if self.precision == INT8 else model
        self._properties: dict[str, object] = {
            'PERFORMANCE_HINT': 'LATENCY',
            'NUM_STREAMS': 1,
            # A pinned thread waits where another process (camera driver, DDS) holds its core:
            # 7 to 30 % longer on two cores under such load, no gain without.
            'ENABLE_CPU_PINNING': False,
            'INFERENCE_PRECISION_HINT': HINTS.get(self.precision, self.precision),
        }
        if threads > 0:
            self._properties['INFERENCE_NUM_THREADS'] = threads
        self.threads = threads
        version = openvino.__version__.split('-')[0]
        self.description = f'OpenVINO {version} on {device}'

    def compile(self, request: CompileRequest) -> Session:
        """Compile for one camera; about 1 s. Raises EngineError where OpenVINO refuses."""
        graph = specialise(
            self._model.graph,
            self._model.metadata,
            request.camera_hw,
            request.network_hw,
            request.fit,
            request.channel_order,
        )
        split_hidden_layers(graph)
        try:
            model = self._core.read_model(graph.SerializeToString())
            compiled = self._core.compile_model(model, DEVICE, self._properties)
            if self.threads == 0:
                self.threads = int(compiled.get_property('INFERENCE_NUM_THREADS'))
            return OpenVinoSession(self._openvino, compiled, request)
        except RuntimeError as error:
            raise EngineError(
                f'OpenVINO cannot compile {self._model.path} for a camera of '
                f'{request.camera_hw[0]}x{request.camera_hw[1]}: {error}'
            ) from error

    def close(self) -> None:
        """Let go of OpenVINO's core; sessions that are still open keep working."""
        self._core = None


class OpenVinoSession:
    """One compiled model and its request; see `base.Session`."""

    def __init__(self, openvino: object, compiled: object, request: CompileRequest) -> None:
        """Allocate the outputs that every call writes to."""
        self._tensor = openvino.Tensor  # type: ignore[attr-defined]
        self._request = request
        self._outputs: dict[str, np.ndarray] = {}
        self._infer_request = compiled.create_infer_request()  # type: ignore[attr-defined]
        for index, port in enumerate(compiled.outputs):  # type: ignore[attr-defined]
            output = np.empty(tuple(port.shape), np.float32)
            tensor = self._tensor(output, shared_memory=True)
            self._infer_request.set_output_tensor(index, tensor)
            # an output may have several names, of which get_any_name gives any
            self._outputs |= dict.fromkeys(port.get_names(), output)

    def infer(self, image: np.ndarray) -> np.ndarray:
        """Run on (H, W, 3) uint8, read in place; return (C, h, w) float32."""
        require_image(image, self._request)
        image = np.ascontiguousarray(image)
        tensor = self._tensor(view_as_writable(image), shared_memory=True)
        try:
            self._infer_request.set_input_tensor(tensor)
            self._infer_request.start_async()
            self._infer_request.wait()
        except RuntimeError as error:
            raise EngineError(f'OpenVINO failed on a frame: {error}') from error
        return self.read(LOGITS)

    def read(self, name: str) -> np.ndarray:
        """Return an output (c, h, w) of the last image by its name."""
        return self._outputs[name][0]

    def close(self) -> None:
        """Free the request and what was compiled."""
        self._infer_request = None


def list_precisions(model: ModelFile, has_bfloat16: bool) -> dict[str, bool]:
    """Return the precisions for a model, best first, and whether 'auto' may take them.

    int8 comes after bf16, which is as fast (1.05 times at 384x768 on two Zen 4 cores) and closer.
    """
    if is_int8(model):
        return {INT8: True}
    problem = find_int8_problem(model)
    if problem and name_int8_file(model.path).exists():
        LOGGER.warning('the int8 file is not used: %s', problem)
    bfloat16 = {'bf16': True} if has_bfloat16 else {}
    return {**bfloat16, INT8: not problem and has_byte_products(), 'f32': True}


def view_as_writable(image: np.ndarray) -> np.ndarray:
    """Return the same memory as a writable array: OpenVINO shares no other, and only reads it.

    The image must outlive the view.
    """
    if image.flags.writeable:
        return image
    address = image.__array_interface__['data'][0]
    memory = (ctypes.c_uint8 * image.nbytes).from_address(address)
    return np.frombuffer(memoryview(memory), np.uint8).reshape(image.shape)
