"""Deep autoencoders by gradients and by Hessian-free steps, as in table 7.2 of Sutskever 2013.

    python examples/deep_autoencoder.py --data curves --method nag --share 0.02
    python examples/deep_autoencoder.py --data curves --method hessian_free --share 0.1
    python examples/deep_autoencoder.py --plot

A share of 0.02 is 12,000 of the thesis' 600,000 updates of 200 images; the momentum ladder and the
final phase keep their shares of the run. Rates are the thesis' own: 0.005, and for SGD 0.02 with
minibatches of 20 and five times as many updates. What the thesis leaves open and we chose: the
final phase divides SGD's rate too. CURVES is a look-alike and MNIST the 10,000 images of a file, so
that the errors stand beside the thesis' for their order, not for their size.

A whole run of Hessian-free optimization is taken to be 500 updates. Each has the gradient of
20,000 images, drawn anew, and the curvature of 2,000 of them, without a final phase.

A row is added to the table as each run ends, and one to the table of learning curves at each
fiftieth of a run. The same command goes on where it was stopped, and does nothing once it is done.
"""

import argparse
import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from rnnpt import datasets, models, optimizers, schedules
from rnnpt.experiments.result_table import ResultTable, this_command, this_machine
from rnnpt.whole_file import written_beside

METHODS = ("nag", "momentum_0.99", "momentum_0.9", "sgd", "hessian_free")
#: Training errors of table 7.2.
THESIS = {
    "curves": dict(zip(METHODS, (0.078, 0.110, 0.220, 0.250, 0.110))),
    "mnist": dict(zip(METHODS, (0.730, 0.770, 0.990, 1.100, 0.780)))}
NUM_UPDATES = {"sgd": 3_000_000, "hessian_free": 500}
BATCH_SIZE = {"sgd": 20, "hessian_free": 20_000}
#: Of Hessian-free steps, what their rules need; the damping is the first.
CURVATURE_IMAGES, DAMPING = 2_000, 10.0
#: Points of a learning curve, the final phase being the last five.
NUM_POINTS = 50
#: Training images that a point is measured on, the same for all.
NUM_MEASURED = 2_000
KEY = ("data", "method", "final_phase", "share", "learning_rate", "seed")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run; these settings name it in the tables."""

    data: str
    method: str
    final_phase: bool
    share: float
    learning_rate: float | None
    seed: int

    @property
    def batch_size(self) -> int:
        """Images a minibatch."""
        return BATCH_SIZE.get(self.method, 200)

    @property
    def steps_per_point(self) -> int:
        """Updates between two points of the learning curve."""
        return max(1, round(self.share * NUM_UPDATES.get(self.method, 600_000) / NUM_POINTS))

    @property
    def name(self) -> str:
        """A file's name."""
        return "_".join(str(value) for value in dataclasses.astuple(self))

    def optimizer(self) -> keras.optimizers.Optimizer:
        """The method, its schedules those of section 7.3 scaled to the run's length."""
        if self.method == "hessian_free":
            return optimizers.HessianFree(
                DAMPING, curvature_rows=CURVATURE_IMAGES, rows_at_once=CURVATURE_IMAGES,
                max_steps=250)
        num_updates = NUM_POINTS * self.steps_per_point
        rate: Any = self.learning_rate
        if self.final_phase:
            rate = schedules.FinalPhase(rate, num_updates, divisor=10)
        if self.method == "sgd":
            return keras.optimizers.SGD(rate)
        momentum: Any = schedules.ExponentiallySpaced(num_updates)
        if self.method.startswith("momentum"):
            momentum = schedules.Capped(momentum, float(self.method.removeprefix("momentum_")))
        if self.final_phase:
            momentum = schedules.FinalPhase(momentum, num_updates, cap=0.99)
        rule = optimizers.Nesterov if self.method == "nag" else optimizers.Momentum
        return rule(rate, momentum)


class Recorder(keras.callbacks.Callback):
    """Measures theta at each point, adds it to the learning curve and saves the run."""

    def __init__(self, run: Run, images: np.ndarray, curve: ResultTable, checkpoint: Path) -> None:
        super().__init__()
        self.run, self.images, self.curve, self.checkpoint = run, images, curve, checkpoint
        self.start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock, which measures training alone."""
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure, write, save; or stop where the loss is no number any more."""
        seconds = time.perf_counter() - self.start
        figures = measure(self.model, self.images)
        key, steps = dataclasses.asdict(self.run), (epoch + 1) * self.run.steps_per_point
        if not self.curve.has(**key, step=steps):
            self.curve.add(
                **key, step=steps, **figures,
                ms_per_update=round(seconds / self.run.steps_per_point * 1e3, 2))
        print(f"{self.run.name}: update {steps}, error {figures['error']:.4g}, {seconds:.0f} s",
              flush=True)
        if not math.isfinite(figures["loss"]):
            self.model.stop_training = True
        else:
            with written_beside(self.checkpoint) as beside:
                self.model.save(beside)


def measure(model: models.Autoencoder, images: np.ndarray) -> dict[str, float]:
    """The loss in nats an image, and the squared error summed over pixels, the mean over images."""
    figures = model.evaluate(images, batch_size=1_000, verbose=0, return_dict=True)
    return {
        name: float(f"{figures[key]:.6g}")
        for name, key in (("loss", "loss"), ("error", "reconstruction_error"))}


def train(run: Run, images: datasets.Images, model: models.Autoencoder, curve: ResultTable,
          checkpoint: Path) -> dict[str, Any]:
    """Train from the start, or from the checkpoint if there is one; gives the table's figures."""
    steps = run.steps_per_point
    if checkpoint.is_file():
        model = keras.models.load_model(checkpoint)
    else:
        model.compile(run.optimizer(), steps_per_execution=math.gcd(steps, 60), jit_compile=False)
    done = int(model.optimizer.iterations)
    # Of different seeds the minibatches differ as well as the initial weights.
    model.fit(
        images.minibatches(run.batch_size, run.seed, start=done), steps_per_epoch=steps,
        initial_epoch=done // steps, epochs=NUM_POINTS, verbose=0, callbacks=[
            optimizers.SwapLookAhead(),
            Recorder(run, images.train[:NUM_MEASURED], curve, checkpoint)])
    train_figures, test_figures = measure(model, images.train), measure(model, images.test)
    points = curve_of(curve, run)
    final_phase = steps * (NUM_POINTS - NUM_POINTS // 10)
    last_before = [point for point in points if int(point["step"]) <= final_phase]
    return {
        "num_updates": int(model.optimizer.iterations), "batch_size": run.batch_size,
        "loss": train_figures["loss"], "error": train_figures["error"],
        "test_error": test_figures["error"],
        "error_at_90_percent": float(last_before[-1]["error"]),
        "error_of_same_images_at_end": float(points[-1]["error"]),
        "ms_per_update": round(np.median([float(point["ms_per_update"]) for point in points]), 2),
        "thesis_error": THESIS[run.data][run.method]}


def curve_of(curve: ResultTable, run: Run) -> list[dict[str, str]]:
    """The points of a run's learning curve in order."""
    key = {name: str(value) for name, value in dataclasses.asdict(run).items()}
    rows = [row for row in curve.rows if key.items() <= row.items()]
    return sorted(rows, key=lambda row: int(row["step"]))


def plot(table: Path) -> Path:
    """Draw the learning curves beside the table of them, each method's at its best rate."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    runs = best_runs(ResultTable(curve_path(table), key=(*KEY, "step")).rows)
    sets = sorted({key[0] for key in runs})
    figure, panels = pyplot.subplots(1, len(sets), figsize=(6 * len(sets), 4), squeeze=False)
    colors = dict(zip(
        METHODS, ("tab:blue", "tab:green", "tab:olive", "tab:red", "tab:purple"), strict=True))
    for panel, data in zip(panels[0], sets):
        for (_, method, final_phase), points in sorted(
                (key, points) for key, points in runs.items() if key[0] == data):
            images = [int(row["step"]) * BATCH_SIZE.get(method, 200) for row in points]
            with_final = final_phase == "True" or method == "hessian_free"
            panel.semilogy(
                images, [float(row["error"]) for row in points], color=colors[method],
                linestyle="-" if with_final else ":",
                label=method + rate_text(points[0]) + (
                    "" if with_final else ", no final phase"))
        panel.set(title=data, xlabel="images seen", ylabel="squared error an image (training)")
        panel.legend()
    figure.tight_layout()
    path = table.with_suffix(".png")
    with written_beside(path) as beside:
        figure.savefig(beside, dpi=120)
    return path


def best_runs(rows: list[dict[str, str]]) -> dict[tuple[str, ...], list[dict[str, str]]]:
    """Points of the run whose last error is lowest, by data, method and final phase."""
    runs: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in sorted(rows, key=lambda row: int(row["step"])):
        runs.setdefault(tuple(row[name] for name in KEY), []).append(row)
    best: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for key, points in runs.items():
        others = best.setdefault(key[:3], points)
        if float(points[-1]["error"]) < float(others[-1]["error"]):
            best[key[:3]] = points
    return best


def rate_text(row: dict[str, str]) -> str:
    """A learning rate for a legend; nothing where there is none."""
    return "" if row["learning_rate"] == "None" else f", rate {row['learning_rate']}"


def curve_path(table: Path) -> Path:
    """Where the learning curves of a table are."""
    return table.with_name(f"{table.stem}_curves.csv")


def read(arguments: argparse.Namespace) -> tuple[datasets.Images, models.Autoencoder]:
    """The images, and the network that is trained on them."""
    if arguments.smoke:
        return (datasets.curves(500, 100) if arguments.data == "curves" else
                datasets.mnist(arguments.mnist, num_test=9_000)), models.Autoencoder((20, 6))
    images = datasets.curves() if arguments.data == "curves" else datasets.mnist(arguments.mnist)
    return images, models.Autoencoder.for_data(arguments.data, seed=arguments.seed)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=list(THESIS), default="curves")
    parser.add_argument("--mnist", type=Path, help=".npz file; Keras downloads MNIST without it")
    parser.add_argument("--method", choices=METHODS, default="nag")
    parser.add_argument("--no_final_phase", action="store_true")
    parser.add_argument("--share", type=float, default=0.02, help="of the thesis' updates")
    parser.add_argument("--learning_rate", type=float, help="the thesis' own by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a toy size, in seconds")
    parser.add_argument("--plot", action="store_true", help="draw the tables there are; no run")
    parser.add_argument("--output", type=Path, default=Path("results/deep_autoencoder.csv"))
    parser.add_argument("--checkpoints", type=Path, default=Path("runs/deep_autoencoder"))
    arguments = parser.parse_args()
    if not 0 < arguments.share <= 1:
        parser.error(f"--share must be above 0 and at most 1, got {arguments.share}; 0.02 takes "
                     "minutes")
    if arguments.method == "hessian_free" and arguments.learning_rate is not None:
        parser.error("--learning_rate must be left out for hessian_free, which has none, got "
                     f"{arguments.learning_rate}")
    return arguments


def main() -> None:
    """Train one network and add it to the tables, or draw them."""
    arguments = parse()
    if arguments.plot:
        print(plot(arguments.output))
        return
    rates: dict[str, float | None] = {"sgd": 0.02, "hessian_free": None}
    rate = arguments.learning_rate or rates.get(arguments.method, 0.005)
    has_final_phase = not arguments.no_final_phase and arguments.method != "hessian_free"
    run = Run(
        arguments.data, arguments.method, has_final_phase,
        0.0005 if arguments.smoke else arguments.share, rate, arguments.seed)
    table = ResultTable(arguments.output, key=KEY)
    if table.has(**dataclasses.asdict(run)):
        print(f"{run.name} is in {arguments.output}")
        return
    images, model = read(arguments)
    curve = ResultTable(curve_path(arguments.output), key=(*KEY, "step"))
    checkpoint = arguments.checkpoints / f"{run.name}.keras"
    figures = train(run, images, model, curve, checkpoint)
    table.add(
        **dataclasses.asdict(run), **figures, command=this_command(), machine=this_machine())
    checkpoint.unlink(missing_ok=True)
    print(f"{run.name}: training error {figures['error']:.4g}, thesis {figures['thesis_error']}")


if __name__ == "__main__":
    main()
