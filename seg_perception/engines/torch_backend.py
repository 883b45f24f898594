# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""PyTorch: the reference, and the fallback where no faster engine is installed.

The network is built again from the model file's metadata and weights; the steps of the prelude
are done here with the same arithmetic.
"""

from __future__ import annotations

import numpy as np

from seg_perception.engines.base import (
    CompileRequest,
    Session,
    choose_precision,
    require_image,
)
from seg_perception.engines.contract import BackendUnavailableError, EngineError, InputContract
from seg_perception.engines.model_file import ModelFile
from seg_perception.perception.geometry import place_image


class TorchBackend:
    """A model in PyTorch on a CUDA GPU, else on the CPU; see `base.Backend`."""

    name = 'torch'

    def __init__(self, model: ModelFile, precision: str = 'auto', threads: int = 0) -> None:
        """Build the network.

        Args:
            model: the model file.
            precision: 'auto' or 'f32'.
            threads: CPU threads of PyTorch, for the whole process; 0 leaves them as they are.

        Raises:
            BackendUnavailableError: PyTorch is not installed.
            EngineError: the precision is not available, or the file's weights do not fit its
                metadata.
        """
        try:
            import torch

            from seg_perception.networks.deploy import build_deployed
        except ImportError as error:
            raise BackendUnavailableError(
                f'PyTorch is not installed ({error}); pip install torch'
            ) from error
        self._torch = torch
        self._device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        on_gpu = self._device.type == 'cuda'
        device = torch.cuda.get_device_name() if on_gpu else 'CPU'
        self.precision = choose_precision(precision, {'f32': True}, self.name, device)
        if threads > 0 and not on_gpu:
            torch.set_num_threads(threads)
        self.threads = 0 if on_gpu else torch.get_num_threads()
        version = torch.__version__.split('+')[0]
        self.description = f'PyTorch {version} on {device}'
        self._input = model.metadata.input
        network = build_deployed(model.metadata.network, model.metadata.label_space.num_classes)
        weights = {name: torch.from_numpy(a) for name, a in model.read_weights().items()}
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise EngineError(
                f'the weights in {model.path} are not those of its network '
                f'{dict(model.metadata.network)}: {error}'
            ) from error
        # Depth-wise convolutions, most of the time on a CPU, run 1.6 times as fast.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network = network.to(self._device)

    def compile(self, request: CompileRequest) -> Session:
        """Prepare for one camera; PyTorch compiles nothing."""
        contract = self._input.override(*request.network_hw, request.fit)
        return TorchSession(self._torch, self._network, self._device, contract, request)

    def close(self) -> None:
        """Free the network."""
        del self._network


class TorchSession:
    """The network behind one camera's prelude; see `base.Session`."""

    def __init__(
        self,
        torch: object,
        network: object,
        device: object,
        contract: InputContract,
        request: CompileRequest,
    ) -> None:
        """Keep the constants of the prelude on the device."""
        self._torch = torch
        self._network = network
        self._device = device
        self._request = request
        self._placement = place_image(request.camera_hw, request.network_hw, request.fit)
        order = 1 if request.channel_order == 'rgb' else -1
        self._channels = [0, 1, 2][::order]
        make = torch.tensor  # type: ignore[attr-defined]
        self._mean = make(contract.mean_rgb, device=device).reshape(1, 3, 1, 1)
        self._std = make(contract.std_rgb, device=device).reshape(1, 3, 1, 1)

    def infer(self, image: np.ndarray) -> np.ndarray:
        """Run on (H, W, 3) uint8; return (C, h, w) float32."""
        require_image(image, self._request)
        torch = self._torch
        try:
            with torch.inference_mode():  # type: ignore[attr-defined]
                logits = self._network(self._normalise(image))  # type: ignore[operator]
                return logits[0].float().contiguous().cpu().numpy()
        except RuntimeError as error:
            raise EngineError(f'PyTorch failed on a frame: {error}') from error

    def _normalise(self, image: np.ndarray):  # type: ignore[no-untyped-def]
        functional = self._torch.nn.functional  # type: ignore[attr-defined]
        placement = self._placement
        # A copy: PyTorch takes no read-only memory, and message memory may be.
        pixels = self._torch.from_numpy(image.copy())  # type: ignore[attr-defined]
        pixels = pixels.to(self._device).permute(2, 0, 1)[None].float()
        resized = (placement.resized_height_px, placement.resized_width_px)
        if resized != self._request.camera_hw:
            pixels = functional.interpolate(pixels, resized, mode='bilinear')
        pixels = (pixels[:, self._channels] - self._mean) / self._std
        top, left = placement.pad_top_px, placement.pad_left_px
        bottom = placement.network_height_px - resized[0] - top
        right = placement.network_width_px - resized[1] - left
        return functional.pad(pixels, (left, right, top, bottom))

    def close(self) -> None:
        """Free the constants."""
        self._network = None
