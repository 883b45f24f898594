# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""A training run: one process with a GPU or all threads, or workers on shared weights."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import torch

from seg_perception.evaluation.reports.pictures import SheetFrame, write_contact_sheet
from seg_perception.networks.checkpoints import read_metadata, save_weights
from seg_perception.networks.registry import NETWORKS
from seg_perception.networks.sliding_window import SlidingWindow
from seg_perception.training.checkpoint import (
    CheckpointError,
    load_training_state,
    save_checkpoint,
)
from seg_perception.training.config import ConfigError, TrainingConfig, expand_path
from seg_perception.training.feeder import BatchFeeder
from seg_perception.training.panoptic_validation import validate_panoptic
from seg_perception.training.progress import (
    REPORT_EVERY_S,
    Curve,
    ProgressBar,
    Report,
    SmoothedLoss,
    Timetable,
)
from seg_perception.training.schedule import compute_learning_rate
from seg_perception.training.state import Learner, build_training_network, open_datasets
from seg_perception.training.tasks import NORMALISATION
from seg_perception.training.validation import ValidationScore, predict_mask, validate
from seg_perception.training.workers import run_workers

CHECKPOINT_NAME = 'checkpoint.pt'
LATEST_NAME = 'latest.safetensors'
BEST_NAME = 'best.safetensors'
CURVES_NAME = 'curves.csv'
SCORES_NAME = 'scores.csv'
EXAMPLES_NAME = 'examples.png'
SCORE_KEY = 'validation_miou'  # in the metadata of BEST_NAME; PQ of a panoptic network
EXAMPLES = 6


class Trainer:
    """Runs a configuration from its checkpoint (or the start) to the end of its stages.

    `stop` (also from a signal handler) ends the run after the current step, with a checkpoint;
    max_minutes: does the same after that long, 0 has no limit.
    """

    def __init__(
        self, config: TrainingConfig, report: Report = print, max_minutes: float = 0.0
    ) -> None:
        self.config = config
        self.output = expand_path(config.run.output)
        self.report = report
        self.max_minutes = max_minutes
        self.learner = Learner(config)
        for name in self.learner.unused_weights:
            report(f'start weights: {name} not used')
        self.validation = open_datasets(config, 'validation')
        self.iteration = 0
        self._curve = Curve(self.output / CURVES_NAME)
        self._scores = Curve(self.output / SCORES_NAME)
        self._best_score = -1.0
        is_panoptic = NETWORKS[config.network.name].is_panoptic
        if is_panoptic and config.run.validation_window_px:
            raise ConfigError(
                f'validation_window_px is {config.run.validation_window_px}, expected 0: the '
                'instances of a panoptic network are not merged over windows'
            )
        self._score = validate_panoptic if is_panoptic else validate
        # shared with the workers, and without a lock: a signal handler must not wait for one
        self._is_stopping = multiprocessing.RawValue('b', 0)

    @property
    def is_finished(self) -> bool:
        """Whether every iteration of the configuration has been done."""
        return self.iteration >= self.config.total_iterations

    def resume(self, path: str | Path | None = None) -> None:
        """Go on from a checkpoint; None takes the output folder's own when there is one.

        Raises CheckpointError for a file that is damaged, none of a run or of another network.
        """
        source = self.output / CHECKPOINT_NAME if path is None else Path(path)
        if path is None and not source.exists():
            return
        state = load_training_state(source)
        try:
            self.iteration = self.learner.load_state_dict(state)
        except CheckpointError as error:
            raise CheckpointError(f'{source} {error}') from error
        self._best_score = read_best_score(self.output / BEST_NAME)
        self.report(f'resumed {source} at iteration {self.iteration}')

    def stop(self) -> None:
        """Ask the run to end after the current step."""
        self._is_stopping.value = 1

    def is_stopping(self) -> bool:
        """Whether somebody asked the run to end."""
        return bool(self._is_stopping.value)

    def run(self) -> list[ValidationScore]:
        """Train to the end of the last stage or until stopped; returns the last scores.

        Raises UserError for data that cannot be read and a checkpoint that cannot be written.
        """
        if self.iteration == 0:
            self._curve.clear()
            self._scores.clear()
        cv2.setNumThreads(1)
        workers = 0 if self.learner.device.type == 'cuda' else self.config.run.workers
        threads = torch.get_num_threads()
        torch.set_num_threads(1 if workers else threads)
        try:
            if workers:
                self.learner.share_memory()
                run_workers(self, workers)
            else:
                self._run_alone()
        finally:
            torch.set_num_threads(threads)
        scores = self.validate()
        self._draw_examples()
        return scores

    def save(self, iteration: int) -> None:
        """Write the averaged weights and the checkpoint."""
        # first the weights: values that are not finite are refused, and the last checkpoint stays
        save_weights(self.output / LATEST_NAME, self.learner.average.state)
        save_checkpoint(self.output / CHECKPOINT_NAME, self.learner.state_dict(iteration))

    def _run_alone(self) -> None:
        self.learner.prepare_loss()
        if self.learner.device.type == 'cuda':
            torch.backends.cudnn.benchmark = True
            torch.set_float32_matmul_precision('high')
        run = self.config.run
        feeder = BatchFeeder(self.learner.draw_batches, self.iteration, threads=run.loader_threads)
        bar = ProgressBar(self.config.total_iterations, self.iteration, self.report)
        timetable, loss = Timetable(), SmoothedLoss()
        try:
            while not self.is_finished and not self.is_stopping():
                value = self.learner.step(self.iteration, feeder.get())
                self.learner.average.update(self.learner.network)
                self.iteration += 1
                loss.add(float(value))
                self.show_progress(bar, timetable, loss.value)
                self.validate_when_due(timetable)
                self.stop_when_over(timetable)
                if timetable.is_due('checkpoint', run.checkpoint_every_s):
                    self.save(self.iteration)
        finally:
            bar.close()
            feeder.stop()
        self.save(self.iteration)

    def show_progress(self, bar: ProgressBar, timetable: Timetable, loss: float) -> None:
        """Move the bar; report a line and record the curve when they are due."""
        stage, within = self.config.find_stage(self.iteration)
        bar.move(self.iteration, stage.name, loss)
        if timetable.is_due('report', REPORT_EVERY_S):
            rate = compute_learning_rate(stage.learning_rate, within, stage.iterations)
            bar.show(self.iteration, stage.name, loss, rate, stage.images_per_step)
            row = {'iteration': self.iteration, 'loss': loss, 'learning_rate': rate}
            self._curve.append(row)

    def validate_when_due(self, timetable: Timetable) -> None:
        """Validate after every `run.validate_every_s`."""
        if timetable.is_due('validate', self.config.run.validate_every_s):
            self.validate()

    def stop_when_over(self, timetable: Timetable) -> None:
        """Ask the run to end after `max_minutes`."""
        if self.max_minutes and timetable.elapsed_s > 60 * self.max_minutes:
            self.stop()

    def validate(self) -> list[ValidationScore]:
        """Score the averaged weights on every validation split; the best ones are kept."""
        network = self._build_average()
        seen = self._add_windows(network)
        settings = self.config.run
        size = (settings.validation_height_px, settings.validation_width_px)
        steps = {dataset.name: dataset.validation_step for dataset in self.config.datasets}
        scores = []
        for images in self.validation:
            score = self._score(seen, images, NORMALISATION, size, steps[images.name])
            self.report(f'{score.dataset}: {score.text}')
            row: dict[str, float | str] = {
                'iteration': self.iteration, 'dataset': score.dataset, 'miou': score.miou
            }  # fmt: skip
            if score.panoptic is not None:
                row['pq'] = score.headline
            self._scores.append(row)
            scores.append(score)
        mean = sum(score.headline for score in scores) / max(1, len(scores))
        if scores and mean > self._best_score:
            self._best_score = mean
            save_weights(self.output / BEST_NAME, network, metadata={SCORE_KEY: repr(mean)})
        return scores

    def _build_average(self) -> torch.nn.Module:
        network = build_training_network(self.config, self.learner.device)
        network.load_state_dict(self.learner.average.state)
        return network.eval()

    def _add_windows(self, network: torch.nn.Module) -> torch.nn.Module:
        """Let a network see its input in windows where the configuration says so."""
        run = self.config.run
        if not run.validation_window_px:
            return network
        return SlidingWindow(network, run.validation_window_px, run.validation_window_stride_px)

    def _draw_examples(self) -> None:
        """Write images, masks and truth of validation images, spread over the data sets."""
        if not self.validation:
            return
        network = self._add_windows(self._build_average())
        size = (self.config.run.validation_height_px, self.config.run.validation_width_px)
        frames = []
        for images in self.validation:
            count = max(1, EXAMPLES // len(self.validation))
            for index in pick_evenly(len(images), count):
                item = images[index]
                mask = predict_mask(network, item.image, NORMALISATION, size)
                truth = images.mapping.primary_lut()[item.label]
                caption = f'{images.name} {index}'
                frames.append(SheetFrame(item.image, 'rgb', mask, truth, caption))
        path = self.output / EXAMPLES_NAME
        title = f'{self.config.network.name}-{self.config.network.variant}, validation'
        write_contact_sheet(path, frames, self.validation[0].mapping.target, title)
        self.report(f'examples: {path}')


def read_best_score(path: Path) -> float:
    """Return the validation score, PQ or mIoU, of the best weights; -1 where there are none."""
    if not path.exists():
        return -1.0
    return float(read_metadata(path).get(SCORE_KEY, -1.0))


def pick_evenly(length: int, count: int) -> list[int]:
    """Return up to `count` indices spread over a length."""
    return np.unique(np.linspace(0, length - 1, count).round().astype(int)).tolist()
