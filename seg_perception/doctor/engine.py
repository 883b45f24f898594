# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Which engine runs here, and whether its masks are those of the exported graph."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from seg_perception.doctor.finding import FAIL, OK, SKIPPED, WARN, Finding
from seg_perception.engines.engine import Engine
from seg_perception.engines.prelude import IMAGE, LOGITS
from seg_perception.engines.select import EngineConfig, load_engine
from seg_perception.errors import UserError
from seg_perception.perception.decode import MaskDecoder
from seg_perception.resources import find_model
from seg_perception.sample.drive import SampleDrive

SECTION = 'Engine'
CAMERA_HW = (512, 1024)
FRAMES = 10
# One frame a second, so that ten of them show ten places; never trained on.
SAMPLE_SEED, SAMPLE_RATE_HZ = 9, 1.0
# Share of all pixels that must have the class of the float32 graph. On the shipped model bfloat16
# keeps 99.93 %, float16 100.00 %, int8 99.4 %.
BARS = {'f32': 0.999, 'f16': 0.995, 'bf16': 0.995, 'int8': 0.985}


@dataclass(frozen=True)
class Reference:
    """The model file run as it is, in float32: name of the library, and image to logits."""

    name: str
    infer: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Agreement:
    """Masks of an engine beside those of the reference.

    Attributes:
        equal: share of all pixels with the same class.
        worst: the same of the worst frame.
        engine_ms, reference_ms: median time of an inference.
    """

    equal: float
    worst: float
    engine_ms: float
    reference_ms: float


def check_engine(model: str, backend: str) -> Iterator[Finding]:
    """Load the engine as the node does, and compare it with the model file run as it is.

    Args:
        model: name of a model or path of an .onnx file, '' for the default model.
        backend: 'auto' or a name, as parameter model.backend.
    """
    try:
        model_path = find_model(model).absolute()
    except UserError:
        yield Finding(SECTION, f'backend {backend}', SKIPPED, 'there is no model file, see above')
        return
    config = EngineConfig(str(model_path), backend=backend, build_in_background=True)
    try:
        engine = load_engine(config)
    except UserError as error:
        cure = 'install one of them: "pip install openvino" works on any processor'
        yield Finding(SECTION, f'backend {backend}', FAIL, str(error), cure)
        return
    try:
        engine.prepare(CAMERA_HW)
        yield describe_backend(engine, backend)
        yield describe_kept_engine(engine, model_path)
        yield from check_agreement(engine, model_path)
    except UserError as error:
        cure = 'try another one: parameter model.backend, or model.precision f32'
        yield Finding(SECTION, 'inference', FAIL, str(error), cure)
    finally:
        engine.close()


def describe_backend(engine: Engine, backend: str) -> Finding:
    """Say what runs, and why that."""
    if engine.is_fallback:
        cure = 'mend that, or set model.backend to what is wanted'
        return Finding(SECTION, f'backend {backend}', WARN, engine.description, cure)
    return Finding(SECTION, f'backend {backend}', OK, engine.description)


def describe_kept_engine(engine: Engine, model_path: Path) -> Finding:
    """Say whether the first start of the node has to build."""
    size = f'{CAMERA_HW[0]}x{CAMERA_HW[1]}'
    if engine.build_status:
        return Finding(
            SECTION,
            'built engine',
            WARN,
            f'none for a camera of {size}: the node builds one at its first start and runs on '
            f'{engine.backend_name} until then',
            f'to build before: seg_perception build-engine {model_path} --camera {size}',
        )
    if engine.keeps_engines:
        return Finding(SECTION, 'built engine', OK, f'for a camera of {size} it is there')
    text = f'{engine.backend_name} compiles at each start and keeps nothing'
    return Finding(SECTION, 'built engine', SKIPPED, text)


def check_agreement(engine: Engine, model_path: Path) -> Iterator[Finding]:
    """Compare the engine with the reference on frames of the sample drive."""
    name = 'against reference'
    reference = open_reference(model_path)
    if reference is None:
        yield Finding(
            SECTION,
            name,
            SKIPPED,
            'neither OpenVINO nor ONNX Runtime is here to run the model file as it is',
            'pip install onnxruntime',
        )
        return
    drive = SampleDrive(SAMPLE_SEED, FRAMES, *CAMERA_HW, rate_hz=SAMPLE_RATE_HZ)
    agreement = compare(engine, reference, [frame.image for frame in drive])
    bar = BARS[engine.precision]
    text = (
        f'{100 * agreement.equal:.2f} % of the pixels have the class of {reference.name} '
        f'(worst of {FRAMES} frames {100 * agreement.worst:.2f} %), expected {100 * bar:g} % in '
        f'{engine.precision}'
    )
    if agreement.equal < bar:
        cure = (
            'do not drive with these masks: set model.precision to f32 or model.backend to '
            'another one, and report it'
        )
        yield Finding(SECTION, name, FAIL, text, cure)
    else:
        yield Finding(SECTION, name, OK, text)
    yield Finding(
        SECTION,
        'time of inference',
        OK,
        f'{agreement.engine_ms:.0f} ms ({1e3 / agreement.engine_ms:.0f} per second), '
        f'{reference.name} {agreement.reference_ms:.0f} ms; medians, camera '
        f'{CAMERA_HW[0]}x{CAMERA_HW[1]}',
    )


def open_reference(model_path: Path) -> Reference | None:
    """Load the model file as it is, without what our engines change in it; None: no library."""
    return open_openvino(model_path) or open_onnx_runtime(model_path)


def open_openvino(model_path: Path) -> Reference | None:
    """Load the model file into OpenVINO in float32; None where it is not installed."""
    try:
        from seg_perception.engines.openvino_backend import DEVICE, open_core

        core = open_core()
    except ImportError:
        return None
    model = core.read_model(str(model_path))
    model.reshape([*CAMERA_HW, 3])
    compiled = core.compile_model(model, DEVICE, {'INFERENCE_PRECISION_HINT': 'f32'})
    return Reference('OpenVINO in f32', lambda image: np.asarray(compiled(image)[0])[0])


def open_onnx_runtime(model_path: Path) -> Reference | None:
    """Load the model file into ONNX Runtime; None where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(
        str(model_path), providers=['CPUExecutionProvider']
    )

    def infer(image: np.ndarray) -> np.ndarray:
        return np.asarray(session.run([LOGITS], {IMAGE: image})[0])[0]

    return Reference('ONNX Runtime in f32', infer)


def compare(engine: Engine, reference: Reference, images: list[np.ndarray]) -> Agreement:
    """Segment images of CAMERA_HW, (H, W, 3) uint8 RGB, with both."""
    num_classes = engine.metadata.label_space.num_classes
    decoder = MaskDecoder(engine.sampling_grid(CAMERA_HW), num_classes)
    shares, engine_s, reference_s = [], [], []
    for image in images:
        start_s = time.perf_counter()
        expected = reference.infer(image)
        middle_s = time.perf_counter()
        found = engine.infer(image)
        end_s = time.perf_counter()
        reference_s.append(middle_s - start_s)
        engine_s.append(end_s - middle_s)
        mask = decoder.decode(found)[0]
        shares.append(float(np.mean(mask == decoder.decode(np.ascontiguousarray(expected))[0])))
    return Agreement(
        float(np.mean(shares)), min(shares), median(engine_s) * 1e3, median(reference_s) * 1e3
    )
