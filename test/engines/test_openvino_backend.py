# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""OpenVINO: the shipped file as it is, shared memory, and precisions."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import openvino
import pytest

from seg_perception.engines.base import CompileRequest
from seg_perception.engines.contract import EngineError
from seg_perception.engines.openvino_backend import OpenVinoBackend, view_as_writable

REQUEST = CompileRequest((64, 128), (64, 128), 'letterbox', 'rgb')


@pytest.fixture(scope='module')
def backend(model):
    """Return the backend at its defaults."""
    return OpenVinoBackend(model)


@pytest.fixture(scope='module')
def shipped(model_path):
    """Return the file compiled by OpenVINO as it is, for cameras of any size."""
    properties = {'INFERENCE_PRECISION_HINT': 'f32'}
    return openvino.Core().compile_model(str(model_path), 'CPU', properties)


@pytest.mark.parametrize('camera_hw', [(64, 128), (51, 77), (1, 1), (200, 33), (3, 200)])
def test_shipped_file_runs_unmodified(shipped, reference, make_image, check_logits, camera_hw):
    image = make_image(*camera_hw)
    check_logits(shipped([image])[0][0], reference(image))


def test_logits_are_written_to_the_same_memory(backend, make_image):
    session = backend.compile(REQUEST)
    first = session.infer(make_image(64, 128))
    kept = first.copy()
    second = session.infer(make_image(64, 128, seed=1))
    assert np.shares_memory(first, second)
    assert not np.array_equal(kept, second)


def test_read_only_memory_is_viewed_not_copied():
    content = bytes(range(30))
    image = np.frombuffer(content, np.uint8).reshape(2, 5, 3)
    view = view_as_writable(image)
    assert view.ctypes.data == image.ctypes.data
    assert view.flags.writeable
    assert np.array_equal(view, image)


def test_other_threads_run_during_inference(backend):
    session = backend.compile(CompileRequest((256, 512), (256, 512), 'letterbox', 'rgb'))
    image = np.zeros((256, 512, 3), np.uint8)
    ticks = []
    is_done = threading.Event()

    def tick():
        while not is_done.is_set():
            ticks.append(None)
            time.sleep(1e-4)

    thread = threading.Thread(target=tick)
    thread.start()
    before = len(ticks)
    session.infer(image)
    during = len(ticks) - before
    is_done.set()
    thread.join()
    # Tens of milliseconds: without the GIL the other thread would not wake up once.
    assert during >= 2


def test_thread_count_is_used(model):
    backend = OpenVinoBackend(model, threads=1)
    backend.compile(REQUEST)
    assert backend.threads == 1


def test_precision_follows_the_cpu(backend, model):
    capabilities = openvino.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
    has_bf16 = 'BF16' in capabilities
    assert backend.precision == ('bf16' if has_bf16 else 'f32')
    assert OpenVinoBackend(model, 'f32').precision == 'f32'
    if has_bf16:
        assert OpenVinoBackend(model, 'bf16').precision == 'bf16'
    else:
        with pytest.raises(EngineError, match='precision bf16 is not available with openvino'):
            OpenVinoBackend(model, 'bf16')


CLOSE_ELSEWHERE = """
import os, signal, sys, threading
from seg_perception.engines.model_file import load_model_file
from seg_perception.engines.openvino_backend import OpenVinoBackend
caught = []
signal.signal(signal.SIGUSR1, lambda *arguments: caught.append(arguments))
backend = OpenVinoBackend(load_model_file(sys.argv[1]))
thread = threading.Thread(target=backend.close)
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGUSR1)
sys.exit(0 if len(caught) == 1 else 1)
"""


def test_backend_that_another_thread_closes_leaves_signals_as_they_are(model_path):
    done = subprocess.run([sys.executable, '-c', CLOSE_ELSEWHERE, model_path], timeout=60)
    assert done.returncode == 0
