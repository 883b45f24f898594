# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""PyTorch: the reference, and the fallback where no faster engine is installed.

The network is built again from the model file's metadata and weights; the steps of the prelude
are done here with the same arithmetic. On a GPU, memory, copies and stream are those of
`cuda_device`, as with TensorRT; PyTorch captures the graph, since its allocator has to know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from seg_perception.engines.base import (
    CompileRequest,
    Session,
    choose_precision,
    require_image,
)
from seg_perception.engines.contract import (
    LOGITS,
    BackendUnavailableError,
    EngineError,
    InputContract,
    ModelMetadata,
)
from seg_perception.engines.cuda_device import Buffer, CudaDevice, RoundTrip, Work
from seg_perception.engines.int8_file import is_int8
from seg_perception.engines.model_file import ModelFile
from seg_perception.engines.outputs import count_channels, find_channels
from seg_perception.perception.geometry import compute_logits_size, place_image

DTYPES = {'f16': 'float16', 'bf16': 'bfloat16'}


class TorchBackend:
    """A model in PyTorch on a CUDA GPU, else on the CPU; see `base.Backend`."""

    name = 'torch'

    def __init__(self, model: ModelFile, precision: str = 'auto', threads: int = 0) -> None:
        """Build the network.

        Args:
            model: the model file.
            precision: 'auto' or 'f32'; on a GPU 'auto' is 'f16', and 'bf16' is known too.
            threads: CPU threads of PyTorch, for the whole process; 0 leaves them as they are.

        Raises:
            BackendUnavailableError: PyTorch is not installed, or sees a GPU without cuda-python.
            EngineError: the precision is not available, or the file's weights do not fit its
                metadata.
        """
        try:
            import torch
        except ImportError as error:
            raise BackendUnavailableError(
                f'PyTorch is not installed ({error}); pip install torch'
            ) from error
        self._torch = torch
        self._metadata = model.metadata
        self._stream: TorchStream | None = None
        self._cuda = open_gpu() if torch.cuda.is_available() else None
        try:
            self._load(model, precision, threads)
        except BaseException:
            if self._cuda is not None:
                self._cuda.free()
            raise

    def _load(self, model: ModelFile, precision: str, threads: int) -> None:
        torch = self._torch
        device, known = 'CPU', {'f32': True}
        if self._cuda is not None:
            device, known = self._cuda.name, self._cuda.list_precisions()
        self.precision = choose_precision(precision, known, self.name, device)
        if threads > 0 and self._cuda is None:
            torch.set_num_threads(threads)
        self.threads = 0 if self._cuda else torch.get_num_threads()
        version = torch.__version__.split('+')[0]
        self.description = f'PyTorch {version} on {device}'
        self._network = build_network(model, self.precision)
        if self._cuda is not None:
            self._move_to_gpu(self._cuda)

    def _move_to_gpu(self, device: CudaDevice) -> None:
        torch = self._torch
        # float32 in the model file is meant: TF32 keeps 10 of its 23 bits
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.benchmark = True  # sizes never change in a session
        self._stream = TorchStream(torch, device)
        self._network.to('cuda')
        # the weights are there before another stream reads them
        torch.cuda.current_stream().synchronize()

    def compile(self, request: CompileRequest) -> Session:
        """Prepare for one camera; on a GPU run once and capture.

        Raises:
            BackendUnavailableError: the GPU has not enough memory.
            EngineError: a size that cannot be used, or the network fails.
        """
        contract = self._metadata.input.override(*request.network_hw, request.fit)
        place = 'cpu' if self._stream is None else 'cuda'
        prelude = TorchPrelude(self._torch, place, contract, request)
        if self._stream is None:
            channels = find_channels(self._metadata)
            return TorchSession(self._torch, self._network, prelude, request, channels)
        return TorchCudaSession(self._stream, self._network, prelude, self._metadata, request)

    def close(self) -> None:
        """Free the network."""
        del self._network
        if self._stream is not None and self._cuda is not None:
            self._stream.return_memory()
            self._cuda.free()


def open_gpu() -> CudaDevice:
    """Open the GPU that PyTorch sees; raises BackendUnavailableError without cuda-python."""
    try:
        return CudaDevice()
    except BackendUnavailableError as error:
        raise BackendUnavailableError(
            f'PyTorch runs on a GPU only with cuda-python: {error}; or take the GPU from it with '
            'CUDA_VISIBLE_DEVICES='
        ) from error


def build_network(model: ModelFile, precision: str) -> Any:
    """Build the network of a model file on the CPU, its layers in a precision.

    Raises:
        EngineError: the weights are not those of the network.
    """
    import torch

    from seg_perception.networks.deployment import build_deployed
    from seg_perception.networks.half_precision import convert_layers

    if is_int8(model):
        raise EngineError(
            f'{model.path} is quantised to int8, which the torch backend does not run; give it '
            'the file that this one was made from'
        )
    network = build_deployed(model.metadata.network, model.metadata.label_space.num_classes)
    weights = {name: torch.from_numpy(a) for name, a in model.read_weights().items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise EngineError(
            f'the weights in {model.path} are not those of its network '
            f'{dict(model.metadata.network)}: {error}'
        ) from error
    if precision in DTYPES:
        convert_layers(network, getattr(torch, DTYPES[precision]))
    # Depth-wise convolutions, most of the time on a CPU, run 1.6 times as fast.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class TorchPrelude:
    """From camera bytes to the network's input, with the arithmetic of the model file."""

    def __init__(
        self, torch: Any, device: str, contract: InputContract, request: CompileRequest
    ) -> None:
        """Put the constants on a device, 'cpu' or 'cuda'."""
        self._torch = torch
        self._placement = place_image(request.camera_hw, request.network_hw, request.fit)
        self._camera_hw = request.camera_hw
        self._is_bgr = request.channel_order == 'bgr'
        self._mean = torch.tensor(contract.mean_rgb, device=device).reshape(1, 3, 1, 1)
        self._std = torch.tensor(contract.std_rgb, device=device).reshape(1, 3, 1, 1)

    def normalise(self, image: Any) -> Any:
        """Turn (H, W, 3) uint8 into (1, 3, h, w) float32; needs nothing but the device."""
        functional = self._torch.nn.functional
        placement = self._placement
        pixels = image.permute(2, 0, 1)[None].float()
        resized = (placement.resized_height_px, placement.resized_width_px)
        if resized != self._camera_hw:
            pixels = functional.interpolate(pixels, resized, mode='bilinear')
        if self._is_bgr:
            pixels = pixels.flip(1)
        pixels = (pixels - self._mean) / self._std
        top, left = placement.pad_top_px, placement.pad_left_px
        bottom = placement.network_height_px - resized[0] - top
        right = placement.network_width_px - resized[1] - left
        return functional.pad(pixels, (left, right, top, bottom))


class TorchSession:
    """The network behind one camera's prelude, on the CPU; see `base.Session`."""

    def __init__(
        self,
        torch: Any,
        network: Any,
        prelude: TorchPrelude,
        request: CompileRequest,
        channels: Mapping[str, slice],
    ) -> None:
        """Keep them; channels: of each output, see outputs.find_channels."""
        self._channels = channels
        self._outputs: Any = None
        self._torch = torch
        self._network = network
        self._prelude = prelude
        self._request = request

    def infer(self, image: np.ndarray) -> np.ndarray:
        """Run on (H, W, 3) uint8; return (C, h, w) float32."""
        require_image(image, self._request)
        # A copy: PyTorch takes no read-only memory, and message memory may be.
        pixels = self._torch.from_numpy(image.copy())
        try:
            with self._torch.inference_mode():
                outputs = join_outputs(self._torch, self._network(self._prelude.normalise(pixels)))
                self._outputs = outputs[0].float().contiguous().numpy()
                return self.read(LOGITS)
        except RuntimeError as error:
            raise EngineError(f'PyTorch failed on a frame: {error}') from error

    def read(self, name: str) -> np.ndarray:
        """Return an output (c, h, w) of the last image by its name."""
        return self._outputs[self._channels[name]]

    def close(self) -> None:
        """Let go of the network."""
        self._network = None


def join_outputs(torch: Any, outputs: Any) -> Any:
    """Return the outputs of a network, (1, c, h, w) each, as one tensor along the channels."""
    return torch.cat(outputs, 1) if isinstance(outputs, tuple) else outputs


class TorchStream:
    """PyTorch in the memory and on the stream of a `CudaDevice`."""

    def __init__(self, torch: Any, device: CudaDevice) -> None:
        """Wrap the stream."""
        self._torch = torch
        self.device = device
        self._stream = torch.cuda.ExternalStream(device.stream)

    def view(self, buffer: Buffer) -> Any:
        """Return the device's side of a buffer as a tensor, which must not outlive it."""
        return self._torch.as_tensor(DeviceArray(buffer), device='cuda')

    def enqueue(self, work: Work) -> None:
        """Do work whose operations are queued on the stream.

        Raises:
            BackendUnavailableError: out of memory.
            EngineError: it fails.
        """
        torch = self._torch
        try:
            with torch.cuda.stream(self._stream), torch.inference_mode():
                work()
        except torch.cuda.OutOfMemoryError as error:
            raise BackendUnavailableError(
                f'out of memory on {self.device.name} ({error}); use a smaller network input, or '
                'close other programs that use the GPU'
            ) from error
        except RuntimeError as error:
            raise EngineError(f'PyTorch failed on a frame: {error}') from error

    def capture(self, work: Work) -> Work:
        """Capture what is queued, copies of the device included; `CudaDevice.capture` as PyTorch.

        PyTorch gives the graph memory of its own, which goes when the function returned does.

        Raises:
            EngineError: something in it cannot be captured.
        """
        torch = self._torch
        graph = torch.cuda.CUDAGraph()
        try:
            # thread-local: other threads may allocate meanwhile
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode='thread_local'):
                work()
        except RuntimeError as error:
            raise EngineError(f'PyTorch cannot capture the network: {error}') from error
        return lambda: self.enqueue(graph.replay)

    def return_memory(self) -> None:
        """Give what nothing uses any more back to the system."""
        self._torch.cuda.empty_cache()


class DeviceArray:
    """Memory of the device in CUDA's array interface, which PyTorch reads without a copy."""

    def __init__(self, buffer: Buffer) -> None:
        """Describe the whole buffer."""
        self.__cuda_array_interface__ = {
            'shape': buffer.host.shape,
            'typestr': buffer.host.dtype.str,
            'data': (buffer.device_pointer, False),
            'version': 3,
        }


class TorchCudaSession:
    """The network behind one camera's prelude, as one captured graph; see `base.Session`."""

    def __init__(
        self,
        stream: TorchStream,
        network: Callable[[Any], Any],
        prelude: TorchPrelude,
        metadata: ModelMetadata,
        request: CompileRequest,
    ) -> None:
        """Allocate, run once and capture.

        Raises:
            BackendUnavailableError: out of memory.
            EngineError: the network fails.
        """
        self._stream = stream
        self._network = network
        self._prelude = prelude
        self._channels = find_channels(metadata)
        self._outputs = np.empty(0)
        logits_hw = compute_logits_size(request.network_hw, metadata.stride)
        shape = (1, count_channels(metadata), *logits_hw)
        self._request = request
        self._frames: Any = None
        self._buffers: list[Buffer] = []
        try:
            image = self._allocate((*request.camera_hw, 3), np.uint8)
            outputs = self._allocate(shape, np.float32)
            self._image, self._result = stream.view(image), stream.view(outputs)
            self._frames = RoundTrip(
                stream.device, image, (outputs,), self._queue_network, stream.capture
            )
        except BaseException:
            self.close()
            raise

    def _allocate(self, shape: tuple[int, ...], dtype: type[np.generic]) -> Buffer:
        self._buffers.append(self._stream.device.allocate(shape, dtype))
        return self._buffers[-1]

    def _queue_network(self) -> None:
        self._stream.enqueue(self._compute)

    def _compute(self) -> None:
        outputs = self._network(self._prelude.normalise(self._image))
        parts = outputs if isinstance(outputs, tuple) else (outputs,)
        for part, channels in zip(parts, self._channels.values(), strict=True):
            self._result[:, channels].copy_(part)

    def infer(self, image: np.ndarray) -> np.ndarray:
        """Run on (H, W, 3) uint8; return (C, h, w) float32, valid until the next call."""
        require_image(image, self._request)
        self._outputs = self._frames.run(image)[0][0]
        return self.read(LOGITS)

    def read(self, name: str) -> np.ndarray:
        """Return an output (c, h, w) of the last image by its name."""
        return self._outputs[self._channels[name]]

    def close(self) -> None:
        """Free the graph with its memory, then the buffers."""
        self._frames = self._image = self._result = None
        self._stream.return_memory()
        while self._buffers:
            self._stream.device.free_buffer(self._buffers.pop())
