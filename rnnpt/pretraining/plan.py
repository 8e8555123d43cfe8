"""A training plan is data: phases in order, carried out, recorded and resumed by one runner.

A plain training is a plan of one phase. One epoch is one call of Keras' `fit`, so what an epoch
computes depends on (seed, phase, epoch, step) and on nothing that lived in the process before it.
"""
import contextlib
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from rnnpt.datasets import Sequences
from rnnpt.optimizers import (
    CurvatureOptimizer,
    NonFiniteLossError,
    NoProgressError,
    ReportingOptimizer,
    StopAtNonFiniteLoss,
)
from rnnpt.pretraining._interrupt import Interrupt
from rnnpt.pretraining._penalty import penalty_on_kernels
from rnnpt.pretraining.error import DivergenceError, PlanError, TrainingInterrupted
from rnnpt.pretraining.part import part_of
from rnnpt.pretraining.phase import Phase
from rnnpt.pretraining.probe import Probe
from rnnpt.pretraining.record import Progress, Row, RunFolder, identify
from rnnpt.pretraining.start import Start

Source = Callable[[], Sequences]


@dataclasses.dataclass(frozen=True)
class PlanResult:
    """What a plan did.

    Args:
        history: A row an epoch: phase, epoch (from 1, within its phase), updates (of the weights,
            since the plan began), seconds, data_seconds (of making the phase's data, in the epoch
            that asked for them), cpu_seconds (of the process, for both), loss, log_likelihood
            (where it is exact), and the same of the validation with `val_` before; where a probe
            was due, its figure and what it took besides. A start has a row of its own, of epoch 0.
        best: The row of the last phase's best epoch by validation; without one, of its last.
    """

    history: list[Row]
    best: Row


def run_plan(model: keras.Model, phases: Sequence[Phase], sources: Mapping[str, Source],
             valid: Sequences | None, seed: int, directory: Path | None = None,
             progress: bool | None = None, start: Start | None = None,
             probe: Probe | None = None) -> PlanResult:
    """Carry out a plan; where `directory` holds a part of the same plan, go on from there.

    A run that was killed and called again ends with the same weights, bit for bit, as one that was
    not (on one machine, with one setting of threads).

    Args:
        model: A `SequenceModel`; built if it is not, compiled anew for every phase.
        phases: The phases in order.
        sources: What makes the data that phases name; called only when a phase needs it, and once.
        valid: Data of the validation after every epoch, or None.
        seed: At least 0; draws the order of pieces. The model's own draws follow the model's seed
            and the optimizer's iterations.
        directory: The run folder (see `RunFolder`), or None to keep nothing.
        progress: True for bars, False for one line a phase, None for bars on a terminal only.
        start: What sets weights once before the first phase; None for the model's own.
        probe: What is measured besides; None for nothing. It decides on no weights, so a run may go
            on with another.

    Returns:
        The history, with what earlier calls did; `model` is left with the last phase's weights.

    Raises:
        PlanError: If phases, sources, validation and seed do not fit each other; or if training
            cannot go on: then `model` has the weights of the last epoch, with patience of the best.
    """
    _check_plan(phases, start, sources, valid, seed)
    run = _Run(model, phases, sources, valid, seed, sys.stdout.isatty() if progress is None
               else progress, probe)
    # The last phase's data are the data themselves: the cheapest to ask for their width.
    model.build_for((valid or run.sequences(phases[-1].data)).num_visible)
    if directory is not None:
        run.resume(RunFolder(Path(directory)), start)
    if start is not None and not run.state.history:
        run.start(start)
    for index in range(run.state.phase, len(phases)):
        if run.state.phase != index:
            run.state.begin_phase(index)
        run.train(phases[index])
    last = [row for row in run.state.history if row["phase"] == phases[-1].name]
    return PlanResult(run.state.history, last[run.state.best_epoch - 1])


class _Run:
    """A plan under way."""

    def __init__(self, model: keras.Model, phases: Sequence[Phase], sources: Mapping[str, Source],
                 valid: Sequences | None, seed: int, bars: bool, probe: Probe | None) -> None:
        self.model, self.phases, self.sources = model, phases, sources
        self.validation = None if valid is None else valid.pieces()
        self.seed, self.bars, self.probe = seed, bars, probe
        self.state = Progress()
        self._interrupt = Interrupt()
        self.folder: RunFolder | None = None
        self._made: dict[str, Sequences] = {}

    def resume(self, folder: RunFolder, start: Start | None) -> None:
        """Go on with what the folder holds, and keep everything there from now on."""
        phases = [dataclasses.asdict(phase) for phase in self.phases]
        begun = None if start is None else {"name": start.name, "recipe": start.recipe}
        folder.claim(identify(self.model, phases, self.seed, begun))
        self.folder = folder
        saved = folder.load()
        if saved is not None:
            self.state = saved
            _assign(self.model.variables, saved.weights)

    def sequences(self, data: str) -> Sequences:
        if data not in self._made:
            self._made[data] = self.sources[data]()
        return self._made[data]

    def start(self, start: Start) -> None:
        """Set the weights that the first phase begins with."""
        cpu = time.process_time()
        sequences, data_seconds = _timed(lambda: self.sequences(start.data))
        _, seconds = _timed(lambda: start.set_weights(self.model, sequences))
        self.state.history.append({
            "phase": start.name, "epoch": 0, "updates": 0, "seconds": seconds,
            "data_seconds": data_seconds, "cpu_seconds": time.process_time() - cpu})
        self.state.weights = _values(self.model.variables)
        if self.folder is not None:
            self.folder.save(self.state)
        if not self.bars:
            print(f"{start.name}: {seconds:.1f} s", flush=True)

    def train(self, phase: Phase) -> None:
        """Carry out what is left of a phase."""
        if not self._is_over(phase):
            with part_of(self.model, phase.part) as (part, put_back), \
                    penalty_on_kernels(part, phase.kernel_l2):
                part.compile(optimizer=phase.new_optimizer())
                part.optimizer.build(part.trainable_variables)
                if self.state.optimizer:
                    _assign(part.optimizer.variables, self.state.optimizer)
                with self._interruptible(phase), self._bar(phase) as bar:
                    while not self._is_over(phase):
                        self._train_epoch(phase, part, put_back)
                        bar.set_postfix_str(_figures(self.state), refresh=False)
                        bar.update()
            if not self.bars:
                print(f"{phase.name}: epoch {self.state.epoch}, {_figures(self.state)}", flush=True)
        if phase.patience is not None:
            _assign(self.model.variables, self.state.best_weights)

    def _is_over(self, phase: Phase) -> bool:
        is_patience_over = phase.patience is not None and self.state.waited >= phase.patience
        return self.state.epoch >= phase.epochs or is_patience_over

    def _train_epoch(
        self, phase: Phase, part: keras.Model, put_back: Callable[[], None]
    ) -> None:
        state, cpu = self.state, time.process_time()
        sequences, data_seconds = _timed(lambda: self.sequences(phase.data))
        began = time.perf_counter()
        if isinstance(part.optimizer, CurvatureOptimizer):
            sequences = sequences.cut(phase.segment_length)
        seed = int(np.random.SeedSequence([self.seed, state.phase]).generate_state(1)[0])
        batches = sequences.segments(
            phase.segment_length, phase.batch_size, seed=seed, first_epoch=state.epoch)
        try:
            logs = part.fit(batches, validation_data=self.validation, initial_epoch=state.epoch,
                            epochs=state.epoch + 1, shuffle=False, verbose=0,
                            callbacks=[StopAtNonFiniteLoss(), self._interrupt]).history
        except NonFiniteLossError as error:
            where = f"step {state.updates + error.step}, batch {error.batch} of "
            raise self._divergence("loss", error.value, phase, where) from error
        except NoProgressError as error:
            raise self._standstill(error, phase) from error
        row: Row = {"phase": phase.name, "epoch": state.epoch + 1,
                    "updates": state.updates + int(part.optimizer.iterations),
                    "seconds": time.perf_counter() - began, "data_seconds": data_seconds,
                    "cpu_seconds": time.process_time() - cpu}
        optimizer = part.optimizer
        figures = optimizer.FIGURES if isinstance(optimizer, ReportingOptimizer) else ()
        for name in sorted(logs, key=lambda name: (name.startswith("val_"), "loss" not in name)):
            row[name] = float(logs[name][-1])
            # Of an optimizer's own figures some are no number at times, such as the reduction ratio
            # of a step whose quadratic promised nothing.
            if name not in figures and not math.isfinite(row[name]):
                raise self._divergence(name, row[name], phase)
        for variable in part.trainable_variables:
            # No loss has seen the last batch's update.
            values = np.array(variable)
            if not np.isfinite(values).all():
                wrong = float(values[~np.isfinite(values)][0])
                raise self._divergence(variable.path, wrong, phase)
        put_back()
        if self.probe is not None and self.probe.is_due(row["epoch"], phase.epochs):
            row[self.probe.name], row[f"{self.probe.name}_seconds"] = _timed(self.probe.measure)
        is_best = state.add(row, row.get("val_log_likelihood"), _values(self.model.variables),
                            _values(part.optimizer.variables))
        if self.folder is not None:
            if is_best and phase is self.phases[-1]:
                self.folder.save_best(self.model)
            self.folder.save(state)

    def _divergence(
        self, name: str, value: float, phase: Phase, where: str = ""
    ) -> DivergenceError:
        """Go back to the last epoch's weights, and say why."""
        kept = self._go_back(self.state.weights)
        return DivergenceError(
            f"`{name}` must stay finite. Received: {name}={value} in {where}epoch "
            f"{self.state.epoch + 1} of phase {phase.name!r}. Lower the learning rate or clip "
            f"gradients; {kept}.")

    def _standstill(self, error: NoProgressError, phase: Phase) -> PlanError:
        """Go back to the best weights, or without patience the last epoch's, and say why."""
        state = self.state
        has_best = phase.patience is not None and state.best_weights
        kept = self._go_back(state.best_weights if has_best else state.weights)
        return PlanError(f"`optimizer` must get farther in every epoch. Received: {error} of epoch "
                         f"{state.epoch + 1} of phase {phase.name!r}. Give the phase fewer epochs "
                         f"or another optimizer; {kept}.")

    def _go_back(self, weights: Sequence[np.ndarray]) -> str:
        """Take weights of an epoch before, if there is one, and tell what is kept of the run."""
        if weights:
            _assign(self.model.variables, weights)
        return (f"the run stays as it was after epoch {self.state.epoch} in {self.folder.path}"
                if self.folder and self.state.history else "no epoch before it is kept")

    @contextlib.contextmanager
    def _interruptible(self, phase: Phase) -> Iterator[None]:
        try:
            with self._interrupt.watched():
                yield
        except KeyboardInterrupt as error:
            kept = ("nothing is kept without a run folder" if self.folder is None else
                    f"the same call goes on from there in {self.folder.path}")
            raise TrainingInterrupted(f"Stopped in phase {phase.name!r} after epoch "
                                      f"{self.state.epoch} of {phase.epochs}: {kept}.") from error

    def _bar(self, phase: Phase) -> tqdm:
        return tqdm(desc=phase.name, total=phase.epochs, initial=self.state.epoch, unit="epoch",
                    file=sys.stdout, disable=not self.bars)


def _check_plan(phases: Sequence[Phase], start: Start | None, sources: Mapping[str, Source],
                valid: Sequences | None, seed: int) -> None:
    """Refuse what would fail only later."""
    if not phases:
        raise PlanError("`phases` must hold at least one phase. Received: none. Add a Phase.")
    if seed < 0:
        raise PlanError(f"`seed` must be at least 0. Received: seed={seed}. Pass another one.")
    stages: list[Phase | Start] = [*phases]
    if start is not None:
        stages.append(start)
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise PlanError(f"`phases` must have different names. Received: {names}. Rename one.")
    for stage in stages:
        if stage.data not in sources:
            raise PlanError(f"`data` must be a key of `sources`. Received: data={stage.data!r} in "
                            f"{stage.name!r}, sources {sorted(sources)}. Add a source.")
    for phase in phases:
        if phase.patience is not None and valid is None:
            raise PlanError("`patience` must be None without validation. Received: patience="
                            f"{phase.patience} in phase {phase.name!r}. Pass `valid`.")


def _figures(state: Progress) -> str:
    row = state.history[-1]
    return ", ".join(f"{name} {row[name]:.3f}"
                     for name in ("loss", "log_likelihood", "val_log_likelihood") if name in row)


def _timed(make: Callable[[], Any]) -> tuple[Any, float]:
    """What a function gives, and the seconds that it took."""
    began = time.perf_counter()
    return make(), time.perf_counter() - began


def _values(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    return [np.array(variable) for variable in variables]


def _assign(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
