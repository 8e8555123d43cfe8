"""Published tables, and what trains each of their rows, as data. Imports no TensorFlow."""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rnnpt.experiments.setting import ConfigError
from rnnpt.experiments.table import Row, Run, Table

SETS = ("piano_midi", "nottingham", "musedata", "jsb_chorales")


def _published(*figures: tuple[float | None, float | None]) -> dict[
        str, tuple[float | None, float | None]]:
    """Figures in the order of the papers' columns."""
    return dict(zip(SETS, figures, strict=True))


def _everywhere(config: str, jsb_config: str | None = None) -> dict[str, Run]:
    """A run on every set, that on JSB by a config of its own if there is one."""
    runs = {name: Run(config, (f"data={name}",)) for name in SETS}
    return runs | ({} if jsb_config is None else {"jsb_chorales": Run(jsb_config)})


def _with(runs: Mapping[str, Run], *settings: str) -> dict[str, Run]:
    """Runs with more settings changed."""
    return {name: dataclasses.replace(run, settings=(*run.settings, *settings))
            for name, run in runs.items()}


def _only(runs: Mapping[str, Run], *names: str) -> dict[str, Run]:
    """Runs on some of the sets."""
    return {name: runs[name] for name in names}


def _by_hf(phase: str, number: int) -> tuple[str, ...]:
    """Settings for one batch of so many parts of long pieces, the first of which give curvature."""
    return (
        f"{phase}.optimizer=hessian_free", f"{phase}.batch_size={number}",
        f"{phase}.segment_length=100", f"{phase}.curvature_rows=200")


_RNN = _everywhere("rnn_nottingham", "rnn_jsb")
_NADE = _everywhere("rnn_nade_nottingham", "rnn_nade_jsb")
_RBM, _RTRBM = _everywhere("rnn_rbm_jsb"), _everywhere("rtrbm_jsb")
# Importance sampling of the whole length for some of the test frames, which are many times JSB's.
_OF_SOME = "evaluation.num_ais_frames=2000"
# Over so many updates mean-field negatives let the RBM's couplings grow until only that notices.
_LARGE = ("model.negatives=sampled", "fit.epochs=60", "fit.batch_size=16", "fit.weight_decay=0.02",
          _OF_SOME)
_RBM_OF_LARGE, _RTRBM_OF_LARGE = (
    _with(_only(runs, "nottingham", "musedata"), *_LARGE) for runs in (_RBM, _RTRBM))
_RTRBM_ON_PIANO = _with(_only(_RTRBM, "piano_midi"), _OF_SOME)
_RANDOM = _with(_RNN, "model.num_hidden=100")
_LINEAR = _with(_RANDOM, "pretrain.schedule=linear")
# Nesterov's gradient, whose settings validation chose for the sparse start that goes with it.
_BY_NAG = (
    "fit.optimizer=sgd", "fit.momentum=0.98", "fit.learning_rate=0.1", "fit.weight_decay=0.1")
_SPARSE_NAG = _with(_only(_RANDOM, "jsb_chorales"), *_BY_NAG, "model.spectral_radius=0.9")
_HMM_NAG = _with(_SPARSE_NAG, "pretrain.epochs=20", "pretrain.optimizer=sgd",
                 "pretrain.momentum=0.98", "pretrain.learning_rate=0.1")
# One batch of all pieces, of which JSB has 229 in training, each whole. They overfit: few units.
_JSB_BY_HF = (
    "model.dropout=0", "fit.optimizer=hessian_free", "fit.batch_size=229",
    "fit.segment_length=200", "fit.epochs=40", "fit.patience=3")
# In parts of at most 100 frames: Nottingham's pieces have up to 1,788, Piano-midi.de's 3,857.
_NOTTINGHAM_PARTS, _PIANO_PARTS, _MUSEDATA_PARTS = 1994, 802, 2719
_NOTTINGHAM_BY_HF, _PIANO_BY_HF, _MUSEDATA_BY_HF = (
    ("model.dropout=0", *_by_hf("fit", number), "fit.epochs=150", "fit.patience=5")
    for number in (_NOTTINGHAM_PARTS, _PIANO_PARTS, _MUSEDATA_PARTS))
_DAMPED = "fit.structural_damping=0.1"
_RNN_BY_HF = (
    _with(_only(_RNN, "jsb_chorales"), "model.num_hidden=15", *_JSB_BY_HF)
    | _with(_only(_RNN, "nottingham"), "model.num_hidden=100", *_NOTTINGHAM_BY_HF)
    | _with(_only(_RNN, "piano_midi"), "model.num_hidden=30", *_PIANO_BY_HF, _DAMPED)
    | _with(_only(_RNN, "musedata"),
            "model.num_hidden=100", *_MUSEDATA_BY_HF, _DAMPED, "fit.kernel_l2=0.01"))
_NADE_BY_HF = (
    _with(_only(_NADE, "jsb_chorales"),
          "model.num_hidden=30", *_JSB_BY_HF, "model.num_recurrent=30")
    | _with(_only(_NADE, "piano_midi"),
            "model.num_hidden=50", *_PIANO_BY_HF, _DAMPED, "model.num_recurrent=50",
            "fit.kernel_l2=0.01")
    | _with(_only(_NADE, "nottingham"),
            "model.num_hidden=50", *_NOTTINGHAM_BY_HF, _DAMPED, "model.num_recurrent=50")
    | _with(_only(_NADE, "musedata"),
            "model.num_hidden=50", *_MUSEDATA_BY_HF, _DAMPED, "model.num_recurrent=50",
            "fit.kernel_l2=0.01"))
# As long as in the paper: 100 epochs before 200, of the RNN alone 400 before 800. It compares
# accuracies; the other tables' importance sampling would take hours for Nottingham's test frames.
_LONG_RBM = _with(
    _only(_RBM, "nottingham", "piano_midi"), "fit.epochs=200", "fit.patience=200",
    "accuracy_every=1", "evaluation.num_samples=2", "evaluation.num_ais_runs=5",
    "evaluation.num_ais_temperatures=100")
_LONG_RNN = _with(
    _only(_RNN, "nottingham"), "model.num_hidden=200", "model.activation=sigmoid",
    "fit.optimizer=sgd", "fit.momentum=0", "fit.learning_rate=0.01", "fit.weight_decay=0",
    "fit.decay=constant", "fit.epochs=800", "fit.patience=800", "accuracy_every=5")
_HMM_RBM = _with(_LONG_RBM, "pretrain.epochs=100")
_PARTS = _with(_HMM_RBM, "pretrain.schedule=parts", "pretrain.frame_epochs=100")
_PARTS_BY_SGD = _with(_PARTS, "pretrain.optimizer=sgd", "pretrain.learning_rate=0.01")
_PARTS_BY_HF = (
    _with(_only(_PARTS, "nottingham"), *_by_hf("pretrain", _NOTTINGHAM_PARTS))
    | _with(_only(_PARTS, "piano_midi"), *_by_hf("pretrain", _PIANO_PARTS)))
_HMM_RNN = _with(_LONG_RNN, "pretrain.epochs=400", "pretrain.optimizer=sgd",
                 "pretrain.momentum=0", "pretrain.learning_rate=0.01")


def _other_states(name: str, runs: Mapping[str, Run]) -> tuple[Row, ...]:
    """Rows of pre-training by hidden Markov models of other numbers of states than 25."""
    return tuple(
        Row(f"{name}, HMM of {number} states", _with(runs, f"hmm.num_states={number}"),
            against=name)
        for number in (5, 10, 50))


def _other_sizes(name: str, runs: Mapping[str, Run]) -> tuple[Row, ...]:
    """Rows of networks of half and of twice the units."""
    return tuple(
        Row(f"{name}, {words} the units", _with(runs, f"model.num_hidden={number}"),
            against=f"random, {words} the units")
        for words, number in (("half", 50), ("twice", 200)))


def _by_nag() -> tuple[Row, ...]:
    """Rows of the starts before Nesterov's accelerated gradient."""
    sparse, half = "sparse, NAG", "sparse, half the units, NAG"
    linear = _with(_SPARSE_NAG, "pretrain.schedule=linear")
    return (
        Row(sparse, _SPARSE_NAG),
        Row("random, NAG", _with(
            _only(_RANDOM, "jsb_chorales"), *_BY_NAG, "fit.weight_decay=0.03"), against=sparse),
        Row("input kernel of an RBM of frames, NAG",
            _with(_SPARSE_NAG, "pretrain.schedule=inputs"), against=sparse),
        Row("HMM, NAG", _HMM_NAG, against=sparse),
        Row("linear autoencoder, NAG", linear, against=sparse),
        Row(half, _with(_SPARSE_NAG, "model.num_hidden=50")),
        Row("linear autoencoder, half the units, NAG", _with(linear, "model.num_hidden=50"),
            against=half))


TABLES: Mapping[str, Table] = MappingProxyType({
    "polyphonic_music": Table(
        "Table 1 of Boulanger-Lewandowski, Bengio and Vincent (2012)", (
            Row("Note 1-gram", None, _published(
                (-11.05, 5.80), (-10.25, 19.87), (-11.51, 7.72), (-11.06, 15.25))),
            Row("Note N-gram", None, _published(
                (-7.50, 26.80), (-4.54, 62.49), (-7.91, 26.35), (-10.26, 20.34))),
            Row("Frame N-gram", None),
            Row("Copy the previous frame", None),
            Row("GMM + HMM", _everywhere("gmm_hmm_jsb"), _published(
                (-15.30, 7.91), (-6.17, 59.27), (-11.17, 13.93), (-11.89, 19.24))),
            Row("RNN", _RNN, _published(
                (-8.37, 19.33), (-4.46, 62.93), (-8.13, 23.25), (-8.71, 28.46))),
            Row("RNN (HF)", _RNN_BY_HF, _published(
                (-7.66, 23.34), (-3.89, 66.64), (-7.19, 30.49), (-8.58, 29.41))),
            Row("RTRBM", _RTRBM | _RTRBM_OF_LARGE | _RTRBM_ON_PIANO, _published(
                (-7.36, 22.99), (-2.62, 75.01), (-6.35, 30.85), (-6.35, 30.17))),
            Row("RNN-RBM", _RBM | _RBM_OF_LARGE, _published(
                (-7.09, 28.92), (-2.39, 75.40), (-6.01, 34.02), (-6.27, 33.12))),
            Row("RNN-NADE", _NADE, _published(
                (-7.48, 20.69), (-2.91, 64.95), (-6.74, 24.91), (-5.83, 32.11))),
            Row("RNN-NADE (HF)", _NADE_BY_HF, _published(
                (-7.05, 23.42), (-2.31, 71.50), (-5.60, 32.60), (-5.56, 32.50)))),
        "Annealed importance sampling of the RBMs has 100 runs of 500 temperatures a frame. On "
        "Nottingham and MuseData, and for the RTRBM on Piano-midi.de, it has them for 2,000 test "
        "frames drawn at random, and 10 runs of 300 temperatures for all, which are corrected by "
        "the mean difference on the drawn ones; the standard error knows of both."),
    "hmm_pretraining": Table(
        "Pre-training on sequences of a hidden Markov model (Pasa, Testolin and Sperduti 2014)", (
            Row("RNN-RBM", _LONG_RBM),
            Row("RNN-RBM, HMM", _with(_HMM_RBM, "hmm.num_states=25"), against="RNN-RBM"),
            *_other_states("RNN-RBM", _HMM_RBM),
            Row("RNN-RBM, parts by SGD", _PARTS_BY_SGD, against="RNN-RBM"),
            Row("RNN-RBM, parts by HF", _PARTS_BY_HF, against="RNN-RBM"),
            Row("RNN", _LONG_RNN, {"nottingham": (None, 10.1)}),
            Row("RNN, HMM", _with(_HMM_RNN, "hmm.num_states=25"), {"nottingham": (None, 69.5)},
                against="RNN"),
            *_other_states("RNN", _HMM_RNN)),
        "The hidden Markov model has 25 states where a row names no other number. Parts are the "
        "RBM by contrastive divergence on single frames (by Adam where the row says HF) and then "
        "the RNN by the cross-entropy of its visible biases (section 2). Of the seconds, "
        "`hmm training` is its own training, `hmm data` the drawing of its sequences, `hmm` the "
        "pre-training on them and `fit` the training on the data; each epoch's validation is in "
        "the last two, and the accuracy on the validation pieces, of one sample a frame, in none. "
        "Seconds are of wall time where they are not called the processor's. "
        "The test figures are those of the epoch of `fit` with the best log-likelihood on the "
        "validation pieces. Those of the RNN-RBM have 2 samples a frame, and 5 runs of 100 "
        "temperatures of annealed importance sampling, a hundredth of the work in other tables: "
        "such likelihoods err to the good side. The last columns have the highest figure until "
        "shares of the processor's time that the row without pre-training takes, of the same "
        "budget."),
    "starts": Table(
        "RNN from several starts, with the same training after each", (
            Row("random", _RANDOM),
            Row("input kernel of an RBM of frames", _with(_RANDOM, "pretrain.schedule=inputs"),
                against="random"),
            Row("HMM", _with(_RANDOM, "pretrain.epochs=20"), against="random"),
            Row("linear autoencoder", _LINEAR, against="random"),
            *_other_sizes("random", _RANDOM),
            *_other_sizes("linear autoencoder", _LINEAR),
            *_by_nag()),
        "Where a row names no other number, the network has 100 units. The last columns have the "
        "highest figure until shares of the time that the random start of as many units takes; "
        "that of the sparse start where the row says NAG, Nesterov's accelerated gradient.",
        has_curves=True),
    "beyond": Table(
        "One model a set, found on validation, beside the best exact likelihood that is published",
        (
            Row("RNN-NADE", _NADE | _with(
                _only(_NADE, "piano_midi"), "model.dropout=0.5", "fit.weight_decay=0.05",
                "fit.epochs=120", "fit.patience=120"), _published(
                    (-7.05, None), (-2.30, None), (-5.60, None), (-5.12, None))),
            Row("RNN-NADE, dropout of 0.3", _with(_only(_NADE, "musedata"), "model.dropout=0.3")))),
})


def named(name: str) -> Table:
    """A table by its name.

    Args:
        name: One of `TABLES`.

    Returns:
        The table.

    Raises:
        ConfigError: If there is none of that name.
    """
    if name not in TABLES:
        raise ConfigError(f"table must be one of {', '.join(TABLES)}, got {name!r}.")
    return TABLES[name]


def chosen(what: str, asked: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Those of a table's rows or data sets that are asked for.

    Args:
        what: They are, for the error.
        asked: Their names; None for all.
        known: Names that the table has.

    Returns:
        Names in the table's order.

    Raises:
        ConfigError: If the table has not one of them.
    """
    for name in asked or ():
        if name not in known:
            raise ConfigError(f"{what} must be among {', '.join(known)}, got {name!r}.")
    return tuple(name for name in known if asked is None or name in asked)
