# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The table of docs/models.md: size, accuracy and CPU time of every registered network.

  python benchmarks/models.py                          what is missing in docs/models.json
  python benchmarks/models.py --time all               all times again, on a quiet machine
  python benchmarks/models.py --time none --scores segvit_s=score.json sanet_r50=other.json

Scores are JSON files of `seg_perception evaluate-images`; they stay in the JSON until others take
their place. Their network input becomes the network's own one, at which it is timed besides
512x1024. Times are from the bytes of an image of the network's size to its mask, with OpenVINO;
weights are random, the time does not depend on them. SegNeXt-T takes turns with each network, and
the ratio to it is of processor time, which other load on the machine changes least. Instances of
panoptic networks are not merged here.

The JSON, the table between the two marks of docs/models.md and the plot docs/models.png are
written after each network: a run that was interrupted goes on without --time all.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from seg_perception.engines.contract import (
    PANOPTIC_OUTPUTS,
    SEMANTIC_OUTPUTS,
    InputContract,
    ModelMetadata,
)
from seg_perception.engines.engine import Engine
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.errors import UserError
from seg_perception.evaluation.drives.sweep import SCORE_NAMES
from seg_perception.evaluation.drives.sweep_plot import (
    BOTTOM_PX,
    FRONT_BGR,
    LEFT_PX,
    PICTURE_HW,
    RIGHT_PX,
    TOP_PX,
    Axis,
    draw_axes,
    draw_name,
)
from seg_perception.evaluation.files import replace_file
from seg_perception.evaluation.machine import read_cpu_model
from seg_perception.evaluation.reports.pictures import (
    BACKGROUND_BGR,
    QUIET_TEXT_BGR,
    TEXT_BGR,
    draw_text,
    write_picture,
)
from seg_perception.networks.axial_deploy import DeployAxialDeepLab
from seg_perception.networks.counting import count_macs, count_parameters
from seg_perception.networks.deployment import describe_network, fold_network
from seg_perception.networks.export import export_network
from seg_perception.networks.registry import (
    NETWORKS,
    build_network,
    list_full_names,
    parse_full_name,
)
from seg_perception.perception.decode import MaskDecoder
from seg_perception.perception.labels import load_label_space

SIZE_HW = (512, 1024)
CLASSES = 19
REFERENCE = 'segnext_t'
DOCS = Path(__file__).parents[1] / 'docs'
MARKS = ('<!-- table of benchmarks/models.py -->\n', '<!-- end of the table -->\n')


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--docs', type=Path, default=DOCS, help='folder of the three files')
    parser.add_argument('--models', nargs='+', metavar='NAME', default=list_full_names())
    parser.add_argument('--scores', nargs='+', metavar='NAME=FILE', default=[])
    parser.add_argument('--time', default='missing', choices=('missing', 'all', 'none'))
    parser.add_argument('--rounds', type=int, default=7, help='of each time (default: 7)')
    parser.add_argument('--threads', type=int, default=2, help='CPU threads (default: 2)')
    parser.add_argument(
        '--most-parameters',
        type=float,
        default=110.0,
        metavar='MILLIONS',
        help='larger networks are not timed: they need GBs (default: 110)',
    )
    parser.add_argument(
        '--most-eager-gmac',
        type=float,
        default=60.0,
        metavar='GMAC',
        help='larger ones are not timed in PyTorch (default: 60)',
    )
    return parser.parse_args()


def read_scores(texts: list[str]) -> dict[str, dict[str, Any]]:
    """Return what each NAME=FILE of --scores says; raises UserError."""
    scores = {}
    for text in texts:
        name, _, path = text.partition('=')
        parse_full_name(name)
        try:
            result = json.loads(Path(path).read_text(encoding='utf-8'))
            height_px, width_px = result['input_size']
            scores[name] = {
                'miou': float(result['miou']),
                'scored_on': f'{result["layout"]} {result["split"]}, {result["images"]} images',
                'own_input': f'{height_px}x{width_px}',
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f'--scores {text}: expected NAME=FILE with a JSON file of "seg_perception '
                f'evaluate-images --json" ({type(error).__name__}: {error})'
            ) from error
    return scores


def build_for_counting(full_name: str) -> nn.Module:
    """Build a network of which only shapes count, where its layers allow that."""
    name, variant = parse_full_name(full_name)
    device = 'cpu' if name == 'segnext' else 'meta'  # autocast does not know the device meta
    with torch.device(device):
        return build_network(name, variant, CLASSES).eval()


def parse_size(text: str) -> tuple[int, int]:
    """Return height and width of a text such as '512x1024'."""
    height_px, width_px = text.split('x')
    return int(height_px), int(width_px)


def write_random_model(network: nn.Module, size_hw: tuple[int, int], path: Path) -> None:
    """Write the model file of a network for an input size, without the comparison of export."""
    description = describe_network(network)
    is_panoptic = NETWORKS[description['name']].is_panoptic
    metadata = ModelMetadata(
        load_label_space('cityscapes'),
        InputContract(*size_hw),
        network=description,
        stride=getattr(network, 'logits_stride', ModelMetadata.stride),
        outputs=PANOPTIC_OUTPUTS if is_panoptic else SEMANTIC_OUTPUTS,
    )
    deployed = fold_network(network)
    if isinstance(deployed, DeployAxialDeepLab):
        deployed.limit_memory(size_hw)
    path.write_bytes(export_network(deployed, metadata).SerializeToString())


def load_timed(
    network: nn.Module, size_hw: tuple[int, int], folder: Path, threads: int
) -> tuple[Engine, Callable[[], object]]:
    """Return an engine of a network and the call from the bytes of an image to its mask."""
    path = folder / 'model.onnx'
    write_random_model(network, size_hw, path)
    engine = load_engine(EngineConfig(str(path), 'openvino', threads=threads))
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), np.uint8)
    decoder = MaskDecoder(engine.sampling_grid(size_hw), CLASSES)
    decoder.warm_up()
    mask = np.empty(size_hw, np.uint8)
    return engine, lambda: decoder.decode(engine.infer(image, 'rgb'), mask)


def measure(calls: list[Callable[[], object]], rounds: int) -> np.ndarray:
    """Call all in turns; return median wall and processor times, ms: (calls, 2)."""
    times_ms = np.empty((rounds, len(calls), 2))
    for call in calls:
        call()
    for turn in range(rounds):
        for index, call in enumerate(calls):
            start_s = time.perf_counter(), time.process_time()
            call()
            ends_s = time.perf_counter(), time.process_time()
            times_ms[turn, index] = 1e3 * np.subtract(ends_s, start_s)
    return np.median(times_ms, axis=0)


def time_network(
    full_name: str, size_hw: tuple[int, int], arguments: argparse.Namespace, with_eager: bool
) -> dict[str, Any]:
    """Return the times of a network at an input size, beside SegNeXt-T in the same turns."""
    torch.manual_seed(0)
    network = build_network(*parse_full_name(full_name), CLASSES).eval()
    reference = build_network(*parse_full_name(REFERENCE), CLASSES).eval()
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        engine, call = load_timed(network, size_hw, Path(first), arguments.threads)
        beside, other = load_timed(reference, SIZE_HW, Path(second), arguments.threads)
        try:
            (ms, cpu_ms), (_, reference_cpu_ms) = measure([call, other], arguments.rounds)
        finally:
            engine.close()
            beside.close()
    ratio = 1.0 if full_name == REFERENCE else cpu_ms / reference_cpu_ms
    times: dict[str, Any] = {
        'ms': round(ms, 1),
        'ratio': round(ratio, 3),
        'engine': engine.description,
    }
    if with_eager:
        image = torch.zeros(1, 3, *size_hw)
        with torch.inference_mode():
            times['eager_ms'] = round(measure([lambda: network(image)], 3)[0, 0], 1)
    return times


def fill_row(row: dict[str, Any], full_name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the row of a network with all that was asked for."""
    network = build_for_counting(full_name)
    size = f'{SIZE_HW[0]}x{SIZE_HW[1]}'
    own = row.get('own_input', size)
    row = {
        'miou': None,
        'ms': None,
        'eager_ms': None,
        'ratio_to_segnext_t': None,
        'own_ms': None,
        'gpu_ms': None,
        **row,
        'params': count_parameters(network),
        'gmac': round(count_macs(network, *SIZE_HW) / 1e9, 2),
        'input': size,
        'own_input': own,
        'own_gmac': round(count_macs(network, *parse_size(own)) / 1e9, 2),
    }
    is_timed = arguments.time != 'none' and row['params'] <= 1e6 * arguments.most_parameters
    is_again = arguments.time == 'all'
    if is_timed and (is_again or row['ms'] is None):
        with_eager = row['gmac'] <= arguments.most_eager_gmac
        times = time_network(full_name, SIZE_HW, arguments, with_eager)
        row |= {'ms': times['ms'], 'eager_ms': times.get('eager_ms'), 'engine': times['engine']}
        row['ratio_to_segnext_t'] = times['ratio']
    if own == size:
        row['own_ms'] = row['ms']
    elif is_timed and (is_again or row['own_ms'] is None):
        row['own_ms'] = time_network(full_name, parse_size(own), arguments, False)['ms']
    return row


def format_table(rows: dict[str, dict[str, Any]]) -> str:
    """Return the table of docs/models.md."""

    def show(value: float | None, digits: int) -> str:
        return '-' if value is None else f'{value:.{digits}f}'

    lines = [
        '| network | parameters, M | GMAC | CPU, ms | times SegNeXt-T | PyTorch, ms | own input '
        '| GMAC | CPU, ms | mIoU |',
        '|---|---|---|---|---|---|---|---|---|---|',
    ]
    for name, row in rows.items():
        has_own = row['own_input'] != row['input']
        own = (row['own_input'], show(row['own_gmac'], 1), show(row['own_ms'], 0))
        cells = (
            name,
            show(row['params'] / 1e6, 1),
            show(row['gmac'], 1),
            show(row['ms'], 0),
            show(row['ratio_to_segnext_t'], 2),
            show(row['eager_ms'], 0),
            *(own if has_own else ('-', '-', '-')),
            show(row['miou'], 3),
        )
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def write_table(page: Path, table: str) -> None:
    """Put the table between the marks of a page; raises UserError for a page without them."""
    text = page.read_text(encoding='utf-8')
    if not all(text.count(mark) == 1 for mark in MARKS):
        raise UserError(f'{page} has no two lines {" and ".join(MARKS)}'.replace('\n', ''))
    before, after = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
    whole = f'{before}{MARKS[0]}\n{table}\n{MARKS[1]}{after}'
    replace_file(page, lambda temporary: temporary.write_text(whole, encoding='utf-8'))


def write_plot(path: Path, rows: dict[str, dict[str, Any]]) -> bool:
    """Draw accuracy against latency at the networks' own inputs; False where none has both."""
    points = {
        name: (row['own_ms'], row['miou'])
        for name, row in rows.items()
        if row['own_ms'] is not None and row['miou'] is not None
    }
    if not points:
        return False
    picture = np.full((*PICTURE_HW, 3), BACKGROUND_BGR, np.uint8)
    columns = Axis([ms for ms, _ in points.values()], LEFT_PX, RIGHT_PX)
    heights = Axis([miou for _, miou in points.values()], BOTTOM_PX, TOP_PX)
    draw_text(picture, 'Networks of one training budget', LEFT_PX, 44, 0.75)
    legend = 'each at its own input, on the CPU; up is more accurate, left is faster'
    draw_text(picture, legend, LEFT_PX, 72, 0.5, QUIET_TEXT_BGR)
    draw_axes(picture, columns, heights, SCORE_NAMES['miou'])
    taken: list[tuple[int, int, int, int]] = []
    places = {name: (columns.place(x), heights.place(y)) for name, (x, y) in points.items()}
    for column, row in places.values():
        cv2.circle(picture, (column, row), 7, FRONT_BGR, cv2.FILLED, cv2.LINE_AA)
        taken.append((column - 10, row - 10, column + 10, row + 10))
    for name, place in places.items():
        draw_name(picture, name, place, TEXT_BGR, taken)
    write_picture(path, picture)
    return True


def write_files(folder: Path, machine: str, rows: dict[str, dict[str, Any]]) -> None:
    """Write JSON, table and plot."""
    ordered = {name: rows[name] for name in list_full_names() if name in rows}
    content = {
        'machine': machine,
        'gpu': 'not measured: no GPU was at hand',
        'models': ordered,
    }
    text = json.dumps(content, indent=2) + '\n'
    replace_file(
        folder / 'models.json', lambda temporary: temporary.write_text(text, encoding='utf-8')
    )
    write_table(folder / 'models.md', format_table(ordered))
    write_plot(folder / 'models.png', ordered)


def main() -> None:
    arguments = parse_arguments()
    for name in arguments.models:
        parse_full_name(name)
    scores = read_scores(arguments.scores)
    path = arguments.docs / 'models.json'
    rows = json.loads(path.read_text(encoding='utf-8'))['models'] if path.exists() else {}
    machine = f'{read_cpu_model()}, {arguments.threads} threads'
    torch.set_num_threads(arguments.threads)
    for name, score in scores.items():
        row = rows.setdefault(name, {})
        if row.get('own_input') != score['own_input']:
            row['own_ms'] = None
        row |= score
    for name in dict.fromkeys([*arguments.models, *scores]):
        rows[name] = fill_row(rows.get(name, {}), name, arguments)
        print(format_table({name: rows[name]}).splitlines()[-1], flush=True)
        write_files(arguments.docs, machine, rows)


if __name__ == '__main__':
    try:
        main()
    except UserError as error:
        raise SystemExit(f'error: {error}') from error
