# make demo   the node on a rendered street: masks, fps, latency, mIoU, pictures in out/
# make test   lint, types and every test
# make bench  how fast the node is here: out/bench.json, out/bench.png
# make gpu DATA=FOLDER   everything that wants an NVIDIA GPU: checks, benchmarks, training
# The first three make .venv/ and install what they need; nothing outside the checkout is touched.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# The ROS wheels re-execute Python with these set; a second environment must not inherit them.
unexport LD_LIBRARY_PATH
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

export PATH := $(CURDIR)/$(BIN):$(PATH)
export AMENT_PREFIX_PATH := $(CURDIR)/$(VENV)
export ROS_HOME := $(CURDIR)/out/ros_home
export ROS_LOG_DIR := $(CURDIR)/out/ros_log
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST
export FASTDDS_DEFAULT_PROFILES_FILE := $(CURDIR)/config/fastdds.xml
# A domain of its own per checkout, so that a robot's topics on the same machine stay apart.
ROS_DOMAIN_ID ?= 87
export ROS_DOMAIN_ID

.PHONY: demo test lint test-fast bench gpu clean

demo: $(VENV)/.demo
	$(BIN)/seg_perception demo

# Nodes want the processor for themselves: their tests come one after the other.
test: lint $(VENV)/.test .venv-reference/.done .venv-colcon/.done .venv-tensorrt/.done
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --ignore=test/ros
	$(BIN)/python -m pytest test/ros

test-fast: $(VENV)/.test
	$(BIN)/python -m pytest -x -q --ignore=test/ros --ignore=test/test_install.py

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.test
	mkdir -p out
	$(BIN)/python benchmarks/decode.py --json out/bench_decode.json
	$(BIN)/seg_perception benchmark --size 512x1024 --json out/bench.json --plot out/bench.png

# FOLDER/camvid holds CamVid. GPU_PYTHON is a Python with CUDA's PyTorch, NumPy, OpenCV, Numba,
# safetensors, PyYAML, tqdm and, for one part, onnx. Ends within GPU_MINUTES; the same command
# goes on.
DATA ?= $(HOME)/datasets
GPU_PYTHON ?= python3
GPU_MINUTES ?= 9
gpu:
	PYTHONPATH=$(CURDIR) PYTHONUNBUFFERED=1 $(GPU_PYTHON) benchmarks/gpu.py \
		--data $(DATA) --minutes $(GPU_MINUTES) --out out/gpu

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: requirements/demo.txt setup.py setup.cfg | $(VENV)/bin/python
	$(PIP) install -q -r requirements/demo.txt
	$(PIP) install -q --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.demo
	$(PIP) install -q -r requirements/test.txt
	touch $@

# mmsegmentation, the reference for the networks, wants older companions than ours.
.venv-reference/.done: requirements/reference.txt
	$(PYTHON) -m venv .venv-reference
	.venv-reference/bin/python -m pip --disable-pip-version-check install -q -r requirements/reference.txt
	touch $@

.venv-colcon/.done: requirements/colcon.txt
	$(PYTHON) -m venv .venv-colcon
	.venv-colcon/bin/python -m pip --disable-pip-version-check install -q -r requirements/colcon.txt
	touch $@

# TensorRT-RTX (0.5 GB installed) is not for every platform: where it cannot be installed, the tests
# that build engines are skipped, and say so. The stubs are the standard TensorRT's interface.
PIP_TENSORRT := .venv-tensorrt/bin/python -m pip --disable-pip-version-check install -q
.venv-tensorrt/.done: requirements/tensorrt.txt
	$(PYTHON) -m venv .venv-tensorrt
	if $(PIP_TENSORRT) -r requirements/tensorrt.txt \
		&& $(PIP_TENSORRT) --no-deps tensorrt-stubs==10.13.0.35.1; \
	then touch $@; else echo 'TensorRT-RTX was not installed; tests build no engines'; fi

clean:
	rm -rf $(VENV) .venv-reference .venv-colcon .venv-tensorrt out build *.egg-info
