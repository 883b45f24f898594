# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The reference chain of the benchmarks: what plain PyTorch does from camera bytes to a mask."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from seg_perception.engines.contract import ModelMetadata
from seg_perception.networks.registry import build_network


class EagerChain:
    """PyTorch float32, NCHW, the network as it was trained, nothing folded.

    Norms over channels leave their result with the channels last; as mmsegmentation's, this
    chain copies it back. It takes as long as mmsegmentation 1.2.2's SegNeXt-T in the same chain:
    747 and 798 ms at 512x1024, 983 and 973 ms with a camera of 1024x2048, two Zen 4 cores.

    Resize to the network's input (OpenCV, only where the camera has another size), normalise,
    forward, upsample all logits to the size of the camera, argmax. The weights are random: they
    take as long as trained ones.

    Args:
        metadata: of the model file whose network is to be compared.
        network_hw: (height, width) of the network's input, px.
        device: 'cpu' or 'cuda', where PyTorch's defaults for TF32 are kept.
        threads: CPU threads of PyTorch, for the whole process; 0 leaves them as they are.

    """

    def __init__(
        self,
        metadata: ModelMetadata,
        network_hw: tuple[int, int],
        device: str = 'cpu',
        threads: int = 0,
    ) -> None:
        if threads > 0:
            torch.set_num_threads(threads)
        self._device = torch.device(device)
        self._network_hw = network_hw
        name, variant = metadata.network['name'], metadata.network['variant']
        network = build_network(name, variant, metadata.label_space.num_classes)
        self._network = network.eval().to(self._device)
        for module in self._network.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.register_forward_hook(copy_to_nchw)
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(metadata.input.mean_rgb, device=self._device).reshape(shape)
        self._std = torch.tensor(metadata.input.std_rgb, device=self._device).reshape(shape)

    @torch.inference_mode()
    def segment(self, image: np.ndarray) -> np.ndarray:
        """Return the (H, W) uint8 mask of an (H, W, 3) uint8 RGB image, both in host memory."""
        camera_hw = image.shape[:2]
        if camera_hw != self._network_hw:
            image = cv2.resize(image, self._network_hw[::-1], interpolation=cv2.INTER_LINEAR)
        pixels = torch.from_numpy(image).to(self._device).permute(2, 0, 1)[None].float()
        outputs = self._network(((pixels - self._mean) / self._std).contiguous())
        logits = outputs[0] if isinstance(outputs, tuple) else outputs
        return upsample_and_decide(logits, camera_hw)


def copy_to_nchw(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
    """Return a layer's output (N, C, H, W) in that order of memory; a forward hook."""
    return output.contiguous()


def upsample_and_decide(logits: torch.Tensor, camera_hw: tuple[int, int]) -> np.ndarray:
    """Return the (H, W) uint8 mask of (1, C, h, w) logits as PyTorch users make it."""
    planes = torch.nn.functional.interpolate(
        logits, camera_hw, mode='bilinear', align_corners=False
    )
    return planes.argmax(dim=1)[0].to(torch.uint8).cpu().numpy()


def decide_with_pytorch(logits: np.ndarray, camera_hw: tuple[int, int]) -> np.ndarray:
    """Return the (H, W) uint8 mask of (C, h, w) float32 logits on the CPU."""
    return upsample_and_decide(torch.from_numpy(logits)[None], camera_hw)


def describe_cuda() -> str:
    """Return the name of PyTorch's CUDA device, '' where it has none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else ''
