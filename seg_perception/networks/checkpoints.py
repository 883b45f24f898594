# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Weights in and out of files, without running anything a file brings.

Reads safetensors and torch.save files (zip and legacy, published by the SegNeXt authors, by
mmsegmentation or written by mmengine); writes safetensors.
"""

from __future__ import annotations

import os
import pickle
import pickletools
import struct
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from seg_perception.errors import UserError
from seg_perception.networks.identity import identify_network
from seg_perception.networks.segnext import (
    SegNeXt,
    SegNeXtIdentity,
    build_segnext,
    identify_segnext,
)
from seg_perception.networks.unfold import complete_weights
from seg_perception.networks.vit import VisionTransformer, convert_published_weights

BASES_KEY = 'decode_head.hamburger.ham.bases'
KEYS_SHOWN = 3
NOT_ENCODER = ('head.', 'decode_head.', 'fc.')  # of ImageNet files, of whole networks
LEGACY_PICKLES = 4  # magic number, protocol, system information, the object
PICKLE_PROTOCOL_2 = b'\x80\x02'
READ_ERRORS = (
    AssertionError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    OSError,
    OverflowError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
)
# torch fills plain dicts only, so containers that a file fills item by item become one.
DICTIONARIES = frozenset(
    {
        'addict.addict.Dict',
        'collections.defaultdict',
        'mmcv.utils.config.ConfigDict',
        'mmengine.config.config.ConfigDict',
    }
)
Source = str | os.PathLike[str] | Mapping[str, Tensor]


class Inert:
    """Stands in for every class and function of a file's metadata: takes all, does nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        """Ignore the arguments."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Ignore the state."""


class InertDictionary:
    """Stands in for dictionary classes: making one gives an empty OrderedDict."""

    def __new__(cls, *args: Any, **kwargs: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        """Ignore the arguments; torch accepts the items and state of an OrderedDict."""
        return OrderedDict()


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the state dict of a safetensors or torch.save file, on the CPU.

    The wrappers `state_dict` and `model` and the prefix `module.` are taken off, metadata is
    left out; the keys are otherwise the file's. The content decides the format, not the name.
    A shipped model's file takes its matrices from the model file beside it (see `unfold`).
    Raises UserError when the file is missing, not a checkpoint, damaged or without tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'no checkpoint file {path}')
    with path.open('rb') as file:
        start = file.read(9)
    try:
        if start[:2] in (b'PK', PICKLE_PROTOCOL_2):
            content = load_pickle(path)
        elif start[8:] == b'{':
            content = complete_weights(path, load_file(path))
        else:
            raise UserError(
                f'{path} is not a checkpoint: expected safetensors or a file of torch.save, '
                f'found content that starts with {start[:8]!r}; was it downloaded in full, '
                'not the web page that leads to it?'
            )
    except READ_ERRORS as error:
        raise UserError(
            f'{path} cannot be read as a checkpoint: {find_reason(error)}. It holds '
            f'{path.stat().st_size} bytes; when it is shorter than published, download it again'
        ) from error
    tensors = unwrap_state_dict(content)
    if not tensors:
        raise UserError(f'{path} holds no weights: expected a state dict of named tensors')
    return tensors


def find_reason(error: Exception) -> str:
    """Take the one line that says what is wrong out of torch's pages of advice."""
    lines = [line.strip() for line in str(error).split('\n')]
    lines = [line for line in lines if line and not line.startswith('Check the documentation')]
    if not lines:
        return type(error).__name__
    # the advice to load without weights_only comes first, then the reason
    return lines[-1 if isinstance(error, pickle.UnpicklingError) else 0].rstrip('.')


def load_pickle(path: Path) -> Any:
    """Read a torch.save file with weights_only; metadata classes become inert stand-ins.

    A file's names are listed by disassembly, which runs nothing, and all that torch does not
    know as safe are admitted as Inert or InertDictionary, which run nothing either.
    """
    stand_ins: list[Any] = [
        (InertDictionary if name in DICTIONARIES else Inert, name)
        for name in sorted(list_globals(path))
    ]
    with torch.serialization.safe_globals(stand_ins):
        return torch.load(path, map_location='cpu', weights_only=True)


def list_globals(path: Path) -> set[str]:
    """List the classes and functions a torch.save file names, as `module.name`."""
    names: set[str] = set()
    with path.open('rb') as file:
        if file.read(2) != b'PK':
            file.seek(0)
            for _ in range(LEGACY_PICKLES):
                names.update(iterate_globals(file))
            return names
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.rpartition('/')[2] == 'data.pkl':
                with archive.open(member) as file:
                    names.update(iterate_globals(file))  # type: ignore[arg-type]
    return names


def iterate_globals(file: BinaryIO) -> Iterator[str]:
    """Disassemble one pickle and yield the names it asks for."""
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == 'GLOBAL':
            module, _, name = str(argument).partition(' ')
            yield f'{"builtins" if module == "__builtin__" else module}.{name}'


def unwrap_state_dict(content: Any) -> dict[str, Tensor]:
    """Find the tensors in what a file holds."""
    for wrapper in ('state_dict', 'model'):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        return {}
    return {
        key.removeprefix('module.'): value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }


def canonicalise_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the authors' keys to those of mmsegmentation 1.x; leave auxiliary heads out."""
    return {
        key.replace('.mlp.dwconv.dwconv.', '.mlp.dwconv.'): value
        for key, value in state.items()
        if not key.startswith('auxiliary_head.')
    }


def load_weights(network: nn.Module, source: Source, name: str = '') -> None:
    """Load a whole network's weights from a file or a state dict, strictly.

    A source without Hamburger bases leaves the network's seeded ones in place; half precision
    is widened. Raises UserError naming the first keys that differ and how to fix it; the
    network is unchanged then. name: what messages call the source, '' for its path.
    """
    state, found_name = read_source(source)
    differences = list_differences(network.state_dict(), canonicalise_keys(state))
    if differences:
        raise UserError(describe_mismatch(network, name or found_name, state, differences))
    network.load_state_dict(canonicalise_keys(state))


def load_encoder_weights(network: nn.Module, source: Source) -> tuple[str, ...]:
    """Load the encoder (`backbone`) alone, from an ImageNet file or from a whole network's.

    Files for SegNeXt hold an MSCAN, files for SANet a ResNet with torchvision's keys, files for
    SegViT a vision transformer with timm's keys, trained as AugReg (mean and deviation 127.5).

    Returns what the source held besides, for example ('head (tensors: 2)',): a classifier or a
    decode head, which is not used. Raises UserError for a source without such an encoder, and for
    that of another variant, naming it; the network is unchanged then.
    """
    state, name = read_source(source)
    encoder, unused = {}, []
    for key, tensor in canonicalise_keys(state).items():
        if key.startswith(NOT_ENCODER):
            unused.append(key.partition('.')[0])
        else:
            encoder[key.removeprefix('backbone.')] = tensor
    unused += [key.partition('.')[0] for key in state if key.startswith('auxiliary_head.')]
    if isinstance(network, SegNeXt) and identify_segnext(state) is None:
        keys = ', '.join(list(state)[:KEYS_SHOWN])
        raise UserError(
            f'{name} holds no MSCAN encoder of SegNeXt t, s, b or l: its first keys are {keys}; '
            'expected patch_embed1.*, block1.* and so on, with or without backbone. in front'
        )
    backbone = network.get_submodule('backbone')
    if isinstance(backbone, VisionTransformer):
        encoder, left_out = convert_published_weights(backbone, encoder)
        unused += [key.partition('.')[0] for key in left_out]
    differences = list_differences(backbone.state_dict(), encoder)
    if differences:
        raise UserError(describe_mismatch(network, name, state, differences, whole=False))
    backbone.load_state_dict(encoder)
    return tuple(f'{part} (tensors: {unused.count(part)})' for part in sorted(set(unused)))


def load_network(path: str | os.PathLike[str], rank: int | None = None) -> SegNeXt:
    """Build the SegNeXt that a file holds (variant, classes and rank from it) and load it.

    rank: overrides the rank of the Hamburger, for files without bases. Raises UserError for a
    file that holds no whole SegNeXt.
    """
    state = load_checkpoint(path)
    identity = identify_segnext(state)
    if identity is None or identity.num_classes is None:
        found = 'no SegNeXt' if identity is None else f'the encoder alone of {identity.text}'
        keys = ', '.join(list(state)[:KEYS_SHOWN])
        raise UserError(
            f'{path} holds {found}: expected encoder and decode head of SegNeXt t, s, b or l; '
            f'its first keys are {keys}'
        )
    network = build_segnext(identity.variant, identity.num_classes, rank or identity.rank)
    load_weights(network, state)
    return network


def read_source(source: Source) -> tuple[dict[str, Tensor], str]:
    """Return the state dict and what messages call it."""
    if isinstance(source, Mapping):
        return unwrap_state_dict(source), 'the given state dict'
    return load_checkpoint(source), str(source)


def list_differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """List what keeps `found` from loading, a line per key, in the order of the network.

    Bases and batch counters may be missing: the first are seeded, the second not used.
    """
    lines = []
    for key, tensor in expected.items():
        if key in found:
            if found[key].shape != tensor.shape:
                lines.append(
                    f'{key}: expected {tuple(tensor.shape)}, found {tuple(found[key].shape)}'
                )
        elif key != BASES_KEY and not key.endswith('.num_batches_tracked'):
            lines.append(f'{key}: expected {tuple(tensor.shape)}, found nothing')
    for key, tensor in found.items():
        if key not in expected:
            lines.append(f'{key}: expected nothing, found {tuple(tensor.shape)}')
    return lines


def describe_mismatch(
    network: nn.Module,
    name: str,
    state: Mapping[str, Tensor],
    differences: list[str],
    whole: bool = True,
) -> str:
    """Say in one message what differs and how to fix it."""
    target = type(network).__name__ if whole else f'the encoder of {type(network).__name__}'
    wanted = None
    if isinstance(network, SegNeXt):
        rank, classes = network.rank, network.num_classes
        wanted = SegNeXtIdentity(network.variant.name, classes, rank)
        target = wanted.text if whole else f'the encoder of SegNeXt-{wanted.variant.upper()}'
    shown = '\n  '.join(differences[:KEYS_SHOWN])
    more = len(differences) - KEYS_SHOWN
    rest = f'\n  and {more} more' if more > 0 else ''
    found = identify_network(state)
    held = '' if found is None else f'It holds {found.text}. '
    advice = f'{held}Use a file of the same network and variant'
    if wanted is not None:
        advice = advise(wanted, identify_segnext(state), whole)
    return f'{name} does not fit {target}:\n  {shown}{rest}\n{advice}'


def advise(wanted: SegNeXtIdentity, found: SegNeXtIdentity | None, whole: bool) -> str:
    """Say how to make a network and a file agree."""
    if found is None:
        return 'No SegNeXt variant has such weights: use a SegNeXt checkpoint'
    if whole and found.num_classes is None:
        return f'It holds the encoder alone of {found.text}: load it as encoder weights'
    steps = []
    if found.variant != wanted.variant:
        steps.append(f'use variant {found.variant}')
    if whole and found.num_classes != wanted.num_classes:
        steps.append(f'use a label space of {found.num_classes} classes')
    if whole and found.has_bases and found.rank != wanted.rank:
        steps.append(f'use rank {found.rank}')
    if not steps:
        return f'It is a {found.text} with keys added or lost: use the file as published'
    return f'It holds {found.text}: {" and ".join(steps)}'


def save_weights(
    path: str | os.PathLike[str],
    source: nn.Module | Mapping[str, Tensor],
    precision: str = 'float32',
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a network's state dict, bases included, as safetensors.

    precision: 'float32', or 'float16' to halve convolution weights; norms, biases, scales and
    bases (2 % of the bytes) keep float32, where float16 could lose a small variance. The file
    appears whole or not at all. Raises UserError for another precision or a weight that is
    not finite in it.
    """
    if precision not in ('float32', 'float16'):
        raise UserError(f"precision must be 'float32' or 'float16', not {precision!r}")
    state = source.state_dict() if isinstance(source, nn.Module) else source
    tensors = {}
    for key, value in state.items():
        tensor = value.detach().to('cpu')
        if tensor.is_floating_point():
            half = precision == 'float16' and tensor.ndim >= 2 and key != BASES_KEY
            tensor = tensor.to(torch.float16 if half else torch.float32)
            if not torch.isfinite(tensor).all():
                raise UserError(f'{key} has values that are not finite in {tensor.dtype}')
        tensors[key] = tensor.contiguous().clone()  # safetensors refuses shared memory
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix='.tmp')
    os.close(handle)
    try:
        save_file(tensors, temporary, metadata=dict(metadata or {}))
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the metadata strings of a safetensors file; UserError when it is none."""
    try:
        with safe_open(str(path), framework='pt') as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise UserError(f'{path} cannot be read as safetensors: {error}') from error
