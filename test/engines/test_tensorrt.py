# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""TensorRT-RTX builds engines for real, without a GPU, in an environment of its own."""

from __future__ import annotations

import ast
import inspect
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import fake_gpu
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tensorrt_process import NEEDS_TENSORRT_RTX, PYTHON, make_environment, start_build

from seg_perception.engines import tensorrt_backend, tensorrt_build
from seg_perception.engines.half_precision import TYPES, convert_precision
from seg_perception.engines.model_file import ModelFile, load_model_file
from seg_perception.engines.prelude import specialise
from seg_perception.resources import find_model
from seg_perception.sample.drive import SampleDrive

CHECKS = Path(__file__).parent / 'tensorrt_environment' / 'checks.py'
MODEL = 'segnext_t_street'
SIZE_HW = (192, 384)
TARGETS = 'sm86,sm89,sm120'
TINY_OPTIONS = ('--target', 'sm89')
MASK_AGREEMENT = 0.995
# Classes of TensorRT whose members the two modules use.
USED_CLASSES = (
    *('Builder', 'IBuilderConfig', 'INetworkDefinition', 'OnnxParser', 'ParserError', 'ITensor'),
    *('IProgressMonitor', 'ILogger', 'Runtime', 'ICudaEngine', 'IExecutionContext'),
    *('ITimingCache', 'BuilderFlag', 'DataType', 'NetworkDefinitionCreationFlag', 'DeviceType'),
)
# Of TensorRT-RTX alone; `require_targets` stands before their use.
ONLY_RTX = {'num_compute_capabilities', 'set_compute_capability'}

pytestmark = NEEDS_TENSORRT_RTX


def ask(cache: Path, *arguments: str) -> Any:
    """Run one of the checks and return its answer."""
    done = subprocess.run(
        [str(PYTHON), str(CHECKS), *arguments],
        env=make_environment(cache),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def build(cache: Path, *options: str) -> tuple[dict[str, Any], str]:
    """Build the shipped model small; return the JSON and what was written on stderr."""
    size = f'{SIZE_HW[0]}x{SIZE_HW[1]}'
    process = start_build(
        cache, MODEL, '--size', size, '--target', TARGETS, '--json', 'b.json', *options
    )
    out, log = process.communicate(timeout=240)
    assert process.returncode == 0, log
    return json.loads((cache / 'b.json').read_text()), log


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('cache')


@pytest.fixture(scope='module')
def built(cache: Path) -> dict[str, Any]:
    """Build the float16 engine once."""
    return build(cache)[0]


def test_engine_for_three_gpus_takes_bytes_and_gives_float32(built):
    assert built['inputs'] == [{'name': 'image', 'dtype': 'uint8', 'shape': [*SIZE_HW, 3]}]
    assert built['outputs'] == [{'name': 'logits', 'dtype': 'float', 'shape': [1, 19, 24, 48]}]
    assert built['compute_capabilities'] == TARGETS.split(',')
    assert not built['from_cache']
    assert built['seconds'] > 0
    assert len(built['key']) == 64
    # three targets, of 4.2 M weights each
    assert Path(built['path']).stat().st_size == built['bytes'] > 4_200_000 * 2


def test_second_build_is_found(built, cache):
    again, log = build(cache)
    assert (again['from_cache'], again['key'], log) == (True, built['key'], '')


@pytest.fixture(scope='module')
def tiny(cache: Path, model: ModelFile) -> dict[str, Any]:
    """Build a network of one block per stage."""
    return build_tiny(cache, model)[0]


def build_tiny(cache: Path, model: ModelFile, *options: str) -> tuple[dict[str, Any], str]:
    """Build it for one target; returns as `build`."""
    process = start_build(cache, str(model.path), *TINY_OPTIONS, '--json', 't.json', *options)
    _, log = process.communicate(timeout=240)
    assert process.returncode == 0, log
    return json.loads((cache / 't.json').read_text()), log


def test_each_precision_is_built_and_halves_are_smaller(tiny, cache, model):
    full, _ = build_tiny(cache, model, '--precision', 'fp32')
    bfloat, _ = build_tiny(cache, model, '--precision', 'bf16')
    assert [values['precision'] for values in (tiny, full, bfloat)] == ['f16', 'f32', 'bf16']
    assert max(tiny['bytes'], bfloat['bytes']) < full['bytes']  # most of it is code


def test_panoptic_engine_gives_logits_centers_and_offsets(cache, panoptic_model):
    built, _ = build_tiny(cache, panoptic_model)
    assert built['precision'] == 'f16'
    assert [(tensor['name'], tensor['dtype'], tensor['shape']) for tensor in built['outputs']] == [
        ('logits', 'float', [1, 19, 16, 32]),
        ('center', 'float', [1, 1, 16, 32]),
        ('offset', 'float', [1, 2, 16, 32]),
    ]


def test_damaged_engine_is_built_again(tiny, cache, model):
    path = Path(tiny['path'])
    path.write_bytes(path.read_bytes()[:1000])
    repaired, log = build_tiny(cache, model)
    assert not repaired['from_cache']
    assert f'has 1000 bytes of {tiny["bytes"]}' in log
    assert path.stat().st_size == repaired['bytes']


def test_engine_of_another_library_version_is_built_again(tiny, cache, model):
    sidecar = Path(tiny['path'] + '.json')
    values = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps(values | {'library_version': '1.0'}))
    again, log = build_tiny(cache, model)
    assert not again['from_cache']
    assert f'library_version is {tiny["library_version"]}, the kept engine has 1.0' in log


def test_of_two_processes_one_builds_and_one_waits(tmp_path, model):
    options = (str(model.path), *TINY_OPTIONS)
    processes = [start_build(tmp_path, *options, '--json', f'{i}.json') for i in range(2)]
    logs = [process.communicate(timeout=240)[1] for process in processes]
    answers = [json.loads((tmp_path / f'{i}.json').read_text()) for i in range(2)]
    assert sorted(answer['from_cache'] for answer in answers) == [False, True]
    assert 'another process builds this engine' in ''.join(logs)


def test_interrupt_ends_a_build_and_leaves_no_engine(tmp_path):
    process = start_build(tmp_path, MODEL, '--target', TARGETS)
    deadline_s = time.monotonic() + 60
    while not list(tmp_path.rglob('*.lock')) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=60)
    assert (process.returncode, log.strip()) == (130, 'interrupted')
    assert list(tmp_path.rglob('*.engine')) == []


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('--target', 'sm90'), 'does not build for sm90; it knows sm75, sm80, sm86, sm89'),
        ((), 'no NVIDIA driver on this machine; to build without one, name'),
        (('--target', 'sm89', '--library', 'tensorrt'), 'tensorrt is not installed'),
        (('--target', 'sm89', '--json', '/nowhere/e.json'), 'there is no folder /nowhere'),
        (('--target', 'sm89', '--out', __file__), f'cannot make the folder {__file__}'),
        (('--target', 'sm89', '--size', '16x16'), 'expected a whole number of pixels from 32'),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(tmp_path, options, message):
    process = start_build(tmp_path, MODEL, *options)
    _, log = process.communicate(timeout=120)
    assert process.returncode == 2
    assert log.startswith('error: ')
    assert message in log
    assert log.count('\n') == 1


def test_engine_in_a_named_folder_is_found_once_it_is_copied(tmp_path, model):
    """As from a workstation to a robot."""
    workstation, robot = tmp_path / 'workstation', tmp_path / 'robot'
    workstation.mkdir()
    process = start_build(workstation, str(model.path), *TINY_OPTIONS, '--out', 'made')
    out, log = process.communicate(timeout=240)
    assert process.returncode == 0, log
    assert 'copy it and random.tensorrt_rtx.f16' in out
    folder = robot / 'seg_perception' / 'engines'
    folder.mkdir(parents=True)
    for path in (workstation / 'made').glob('*.engine*'):
        shutil.copy(path, folder)
    found, log = build_tiny(robot, model)
    assert (found['from_cache'], log) == (True, '')


def simulate_rounding(model: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """Return a graph that computes in float32 and rounds each half value when it is made.

    That is what a GPU does: sums in float32, results in the half type.
    """
    kind = TYPES[precision]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*inferred.value_info, *inferred.input, *inferred.output]
    halves = {v.name for v in values if v.type.tensor_type.elem_type == kind}
    weights = [tensor.name for tensor in model.graph.initializer if tensor.data_type == kind]
    halves.update(weights)
    nodes = [helper.make_node('Cast', [w], [f'{w}/wide'], to=TensorProto.FLOAT) for w in weights]
    simulated = onnx.ModelProto()
    simulated.CopyFrom(model)
    for node in simulated.graph.node:
        nodes.append(node)
        name = node.output[0]
        if node.op_type not in ('Cast', 'Shape'):
            for index, source in enumerate(node.input):
                if source in halves:
                    node.input[index] = f'{source}/wide'
        if name in halves:
            if node.op_type != 'Cast':
                node.output[0] = f'{name}/exact'
                nodes.append(helper.make_node('Cast', [f'{name}/exact'], [name], to=kind))
            nodes.append(helper.make_node('Cast', [name], [f'{name}/wide'], to=TensorProto.FLOAT))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del simulated.graph.node[:]
    simulated.graph.node.extend(copies)
    return simulated


def test_half_precision_keeps_the_masks_of_the_sample_drive(tmp_path):
    model = load_model_file(find_model(MODEL))
    drive = SampleDrive(9, 100, *SIZE_HW)
    np.save(tmp_path / 'images.npy', np.stack([drive.render(i).image for i in (0, 40, 80)]))
    graph = specialise(model.graph, model.metadata, SIZE_HW, SIZE_HW, 'letterbox', 'rgb')
    paths = {'f32': tmp_path / 'f32.onnx'}
    onnx.save(graph, paths['f32'])
    for precision in TYPES:
        paths[precision] = tmp_path / f'{precision}.onnx'
        half = convert_precision(graph, precision)
        onnx.save(simulate_rounding(half, precision), paths[precision])
    ask(tmp_path, 'logits', str(tmp_path / 'images.npy'), *map(str, paths.values()))
    logits = {precision: np.load(f'{path}.npy') for precision, path in paths.items()}
    winners = {precision: values.argmax(1) for precision, values in logits.items()}
    assert len(np.unique(winners['f32'])) >= 5
    for precision, share in (('f16', 1e-3), ('bf16', 1e-2)):
        assert (winners[precision] == winners['f32']).mean() >= MASK_AGREEMENT
        difference = np.abs(logits[precision] - logits['f32']).max()
        assert 0 < difference <= share * np.abs(logits['f32']).max()


def test_gpu_whose_engine_does_not_load_ends_in_one_line_with_every_reason(model, tmp_path):
    """The GPU is a fake, the library, its builder and its refusal are real."""
    answer = ask(tmp_path, 'select', str(model.path))
    assert 'TensorRT-RTX 1.' in answer['description']
    assert 'on Fake GPU (sm89), f16, input 64x128' in answer['description']
    assert answer['fallback'] == ''
    assert 'tensorrt_rtx cannot load its engine on Fake GPU' in answer['error']
    assert 'driver' in answer['error']
    assert 'openvino: OpenVINO is not installed' in answer['error']
    assert 'does not run on Fake GPU (sm90)' in answer['hopper']
    (plan,) = tmp_path.rglob('*.engine')  # built for the fake GPU all the same
    assert json.loads(Path(f'{plan}.json').read_text())['compute_capabilities'] == ['sm89']


def test_timing_cache_goes_into_the_build_and_out(tmp_path, model):
    graph = specialise(model.graph, model.metadata, (64, 128), (64, 128), 'letterbox', 'rgb')
    onnx.save(graph, tmp_path / 'g.onnx')
    sizes = ask(tmp_path, 'timings', str(tmp_path / 'g.onnx'))
    assert sizes['second'] >= sizes['first'] > 0


def test_build_for_a_dla_core_is_set_up_by_the_real_interface(tmp_path):
    answer = ask(tmp_path, 'dla')
    assert answer == {'device': 'DLA', 'gpu_fallback': True, 'cores_here': 0}


@pytest.fixture(scope='module')
def interfaces(cache: Path) -> dict[str, Any]:
    return ask(cache, 'interfaces')


@pytest.mark.parametrize('library', ['tensorrt_rtx', 'tensorrt'])
@pytest.mark.parametrize(
    ('fake', 'name'),
    [(fake_gpu.FakeEngine, 'ICudaEngine'), (fake_gpu.FakeContext, 'IExecutionContext')],
)
def test_fake_engine_has_the_interface_of_the_real_one(interfaces, library, fake, name):
    check_methods(fake, interfaces[library][name])


@pytest.mark.parametrize(
    ('fake', 'name'),
    [
        (fake_gpu.FakeRtxEngine, 'ICudaEngine'),
        (fake_gpu.FakeRuntimeConfig, 'IRuntimeConfig'),
        (fake_gpu.FakeRuntimeCache, 'IRuntimeCache'),
    ],
)
def test_fake_kernel_cache_has_the_interface_of_the_real_one(interfaces, fake, name):
    check_methods(fake, interfaces['tensorrt_rtx'][name])


def test_fake_cuda_has_the_interface_of_the_real_one(interfaces):
    real = interfaces['cuda']['runtime']
    fake = fake_gpu.FakeCudaRuntime
    check_methods(fake, real)
    for enumeration in ('cudaMemcpyKind', 'cudaStreamCaptureMode', 'cudaError_t'):
        assert set(getattr(fake, enumeration).__members__) <= set(real[enumeration])
    for constant in ('cudaStreamNonBlocking', 'cudaHostAllocDefault', 'cudaHostAllocMapped'):
        assert constant in real


def check_methods(fake: type, real: dict[str, list[list[str]]]) -> None:
    """Check that each public method of a fake is the real one's, with its parameters."""
    methods = inspect.getmembers(fake, inspect.isfunction)
    names = [name for name, _ in methods if name[0] != '_' and name != 'enqueue']
    assert len(names) >= 2
    for name in names:
        parameters = list(inspect.signature(getattr(fake, name)).parameters)[1:]
        # pybind11 lists no parameters of a method that takes any of several objects
        overloads = real[name]
        needed = any(found[: len(parameters)] == parameters for found in overloads)
        assert needed, f'{name}{tuple(parameters)}, really {overloads}'


def test_standard_tensorrt_has_all_that_is_used_of_rtx(interfaces):
    """Members of RTX's classes that appear in our code are in TensorRT's classes too."""
    used = set()
    for module in (tensorrt_build, tensorrt_backend):
        tree = ast.parse(inspect.getsource(module))
        used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used -= {'__init__', '__version__'}
    checked = 0
    for name in USED_CLASSES:
        members = {m for m in interfaces['tensorrt_rtx'][name] if m in used} - ONLY_RTX
        assert members <= set(interfaces['tensorrt'][name]), name
        checked += len(members)
    assert checked >= 20
