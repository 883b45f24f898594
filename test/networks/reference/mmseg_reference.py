# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Runs SegNeXt of mmsegmentation 1.2.2; needs the environment of requirements/reference.txt.

    mmseg_reference.py COMMAND FOLDER VARIANT [COMMAND FOLDER VARIANT ...]

    forward   weights.safetensors, inputs.npz -> logits.npz
    train     one iteration -> iter_1.pth, saved by mmengine, and weights.safetensors
    keys      -> keys_VARIANT.json: the shape of every key at 19 classes
    publish   options.json (num_classes, rank, has_bases) -> checkpoint.pth as training leaves it,
              with an auxiliary head and optimiser, and logits.npz for `image` (H, W, 3) RGB there

inputs.npz holds `bases` (1, D, R) and any number of `image_N` (N, 3, H, W); logits.npz holds
`image_N` (N, classes, h, w). Test data only: every tensor is random.
"""

from __future__ import annotations

import contextlib
import json
import sys
import types
from collections import defaultdict
from importlib.machinery import ModuleSpec
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from safetensors.torch import load_file, save_file


def stub_compiled_operators() -> None:
    """Stand in for mmcv's compiled extension, which mmcv-lite lacks and SegNeXt never calls."""
    extension = types.ModuleType('mmcv._ext')
    extension.__spec__ = ModuleSpec('mmcv._ext', None)
    extension.__getattr__ = lambda name: None  # type: ignore[method-assign]
    sys.modules['mmcv._ext'] = extension


stub_compiled_operators()

import mmseg  # noqa: E402
from mmengine.config import Config, ConfigDict  # noqa: E402
from mmengine.runner import Runner  # noqa: E402
from mmengine.structures import PixelData  # noqa: E402
from mmseg.models.decode_heads.ham_head import NMF2D  # noqa: E402
from mmseg.registry import MODELS  # noqa: E402
from mmseg.structures import SegDataSample  # noqa: E402
from mmseg.utils import register_all_modules  # noqa: E402


def read_config(variant: str, num_classes: int) -> Config:
    """Read the published configuration of a variant, without its download."""
    folder = Path(mmseg.__file__).parent / '.mim' / 'configs' / 'segnext'
    (path,) = folder.glob(f'segnext_mscan-{variant}_*.py')
    config = Config.fromfile(path)
    config.model.backbone.init_cfg = None
    config.model.decode_head.num_classes = num_classes
    config.model.data_preprocessor.size = (64, 64)
    return config


def build_model(variant: str, num_classes: int, rank: int = 16) -> torch.nn.Module:
    """Build the reference network with random weights."""
    config = read_config(variant, num_classes)
    config.model.decode_head.ham_kwargs.MD_R = rank
    return MODELS.build(config.model)


def run_forward(folder: Path, variant: str) -> None:
    """Write the logits at 1/8 of every image."""
    inputs = dict(np.load(folder / 'inputs.npz'))
    bases = torch.from_numpy(inputs.pop('bases'))
    weights = load_file(folder / 'weights.safetensors')
    num_classes = weights['decode_head.conv_seg.weight'].shape[0]
    model = build_model(variant, num_classes, bases.shape[-1]).eval()
    model.load_state_dict(weights, strict=True)

    def build_bases(self, batch, groups, channels, rank, device=None):
        assert (groups, channels, rank) == (1, *bases.shape[1:])
        return bases.expand(batch, -1, -1)

    with mock.patch.object(NMF2D, '_build_bases', build_bases), torch.inference_mode():
        logits = {
            name: model.decode_head(model.backbone(torch.from_numpy(image))).numpy()
            for name, image in inputs.items()
        }
    np.savez(folder / 'logits.npz', **logits)


class Noise(torch.utils.data.Dataset):
    """Two labelled images of noise."""

    def __len__(self) -> int:
        """Return the number of images."""
        return 2

    def __getitem__(self, index: int) -> dict:
        """Make an image and its label."""
        sample = SegDataSample(metainfo={'img_shape': (64, 64)})
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 19, (1, 64, 64)))
        return {'inputs': torch.randint(0, 256, (3, 64, 64)).byte(), 'data_samples': sample}


def run_training(folder: Path, variant: str) -> None:
    """Train one iteration with mmengine and let it save its checkpoint."""
    config = read_config(variant, 19)
    runner = Runner(
        model=config.model,
        work_dir=str(folder),
        train_dataloader={
            'batch_size': 2,
            'dataset': Noise(),
            'sampler': {'type': 'DefaultSampler', 'shuffle': True},
            'collate_fn': {'type': 'pseudo_collate'},
        },
        train_cfg={'type': 'IterBasedTrainLoop', 'max_iters': 1},
        optim_wrapper=config.optim_wrapper,
        param_scheduler=config.param_scheduler,
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False}},
        default_scope='mmseg',
        log_level='WARNING',
        experiment_name='reference',
        cfg=config,
    )
    runner.message_hub.update_info('numpy_scalar', np.float64(0.5))
    runner.message_hub.update_info('numpy_array', np.arange(3))
    runner.message_hub.update_info('configuration', ConfigDict(a={'b': 1}))
    runner.message_hub.update_info('counts', defaultdict(list, a=[1]))
    runner.train()
    state = {key: value.contiguous() for key, value in runner.model.state_dict().items()}
    save_file(state, folder / 'weights.safetensors')


def write_keys(folder: Path, variant: str) -> None:
    """Write the shape of every key of the state dict."""
    state = build_model(variant, 19).state_dict()
    shapes = {key: list(value.shape) for key, value in state.items()}
    (folder / f'keys_{variant}.json').write_text(json.dumps(shapes))


def randomise(model: torch.nn.Module) -> None:
    """Draw norms, layer scales and the classifier far from their start, so that each counts."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            leaf = name.rpartition('.')[2]
            if leaf in ('running_mean', 'bias'):
                tensor.uniform_(-0.3, 0.3)
            elif leaf == 'running_var' or (leaf == 'weight' and tensor.ndim == 1):
                tensor.uniform_(0.5, 1.5)
            elif leaf.startswith('layer_scale'):
                tensor.uniform_(0.05, 0.15)
            elif name.endswith('conv_seg.weight'):
                tensor.uniform_(-0.3, 0.3)


def run_publishing(folder: Path, variant: str) -> None:
    """Write a checkpoint of random weights, and what the reference makes of an image with it.

    Bases that are random at each call (has_bases false) are not in the file, as published: then
    those in the folder, bases.npy, are taken.
    """
    options = json.loads((folder / 'options.json').read_text())
    config = read_config(variant, options['num_classes'])
    config.model.decode_head.ham_kwargs.MD_R = options['rank']
    config.model.decode_head.ham_kwargs.rand_init = not options['has_bases']
    config.model.auxiliary_head = {
        'type': 'FCNHead',
        'in_channels': config.model.decode_head.in_channels[1],
        'in_index': 2,
        'channels': 16,
        'num_convs': 1,
        'num_classes': options['num_classes'],
    }
    model = MODELS.build(config.model).eval()
    randomise(model)
    image = np.random.default_rng(7).integers(0, 256, (64, 96, 3), np.uint8)
    image = np.kron(image[::8, ::8], np.ones((8, 8, 1), np.uint8))
    pixels = torch.from_numpy(image[:, :, ::-1].copy()).permute(2, 0, 1)  # files are BGR there
    batch = {'inputs': [pixels], 'data_samples': [SegDataSample()]}
    inputs = model.data_preprocessor(batch)['inputs']

    def build_bases(self, batch, groups, channels, rank, device=None):
        return torch.from_numpy(np.load(folder / 'bases.npy')).expand(batch, -1, -1)

    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        if not options['has_bases']:
            stack.enter_context(mock.patch.object(NMF2D, '_build_bases', build_bases))
        logits = model.decode_head(model.backbone(inputs)).numpy()
    np.savez(folder / 'logits.npz', image=image, logits=logits)
    optimizer = torch.optim.AdamW(model.parameters())
    content = {
        'meta': {'epoch': 1},
        'state_dict': model.state_dict(),
        'optimizer': optimizer.state_dict(),
    }
    torch.save(content, folder / 'checkpoint.pth')


COMMANDS = {
    'forward': run_forward,
    'train': run_training,
    'keys': write_keys,
    'publish': run_publishing,
}

if __name__ == '__main__':
    torch.manual_seed(0)
    torch.set_num_threads(1)
    register_all_modules()
    arguments = sys.argv[1:]
    for index in range(0, len(arguments), 3):
        command, folder, variant = arguments[index : index + 3]
        COMMANDS[command](Path(folder), variant)
