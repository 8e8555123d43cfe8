"""Dotted keys: typed, checked, and back from JSON."""

import dataclasses
import json
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpt.experiments import config as configs
from rnnpt.experiments.setting import ConfigError, flatten, from_values, override


@dataclasses.dataclass(frozen=True)
class Inner:
    epochs: int = 3
    rate: float = 0.5
    patience: int | None = None
    kind: Literal["adam", "sgd"] = "adam"


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    name: str = "a"
    loud: bool = False
    seed: int = 0


def test_flatten_walks_settings_in_order_with_dotted_keys():
    assert list(flatten(Outer())) == [
        ("inner.epochs", 3),
        ("inner.rate", 0.5),
        ("inner.patience", None),
        ("inner.kind", "adam"),
        ("name", "a"),
        ("loud", False),
        ("seed", 0),
    ]


def test_override_reads_each_type_and_leaves_the_rest():
    assignments = [
        "inner.epochs=7", "inner.rate=1e-3", "inner.patience=4", "inner.kind=sgd", "name=b=c",
        "loud=True",
    ]
    changed = override(Outer(), assignments)
    assert changed == Outer(Inner(7, 0.001, 4, "sgd"), "b=c", True)
    assert override(changed, ["inner.patience=none"]).inner.patience is None


def test_override_takes_the_last_of_two():
    assert override(Outer(), ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    "assignment, message",
    [
        ("seed", r"set must be key=value, got 'seed'"),
        ("epochs=3", r"unknown key 'epochs': nearest is inner\.epochs"),
        ("inner.epoch=3", r"unknown key 'inner\.epoch': nearest is inner\.epochs"),
        ("zzzzzz=3", r"unknown key 'zzzzzz': known are inner\.epochs, inner\.rate, .*seed"),
        ("inner=3", r"unknown key 'inner'"),
        ("inner.epochs=1.5", r"inner\.epochs must be a whole number, got '1\.5'"),
        ("inner.rate=fast", r"inner\.rate must be a number, got 'fast'"),
        ("inner.rate=nan", r"inner\.rate must be finite and not negative, got nan"),
        ("inner.rate=inf", r"inner\.rate must be finite and not negative, got inf"),
        ("inner.epochs=-1", r"inner\.epochs must be finite and not negative, got -1"),
        ("inner.patience=soon", r"inner\.patience must be a whole number, got 'soon'"),
        ("inner.kind=rmsprop", r"inner\.kind must be one of adam, sgd, got 'rmsprop'"),
        ("loud=yes", r"loud must be true or false, got 'yes'"),
    ],
)
def test_override_refuses_with_the_key_and_the_value(assignment, message):
    with pytest.raises(ConfigError, match=message) as error:
        override(Outer(), [assignment])
    assert "\n" not in str(error.value)


@settings(derandomize=True)
@given(st.floats(0, 1e30, allow_subnormal=False), st.integers(0, 2**40), st.text(max_size=9))
def test_settings_come_back_from_json_exactly(rate, epochs, name):
    changed = Outer(Inner(epochs=epochs, rate=rate, patience=epochs or None), name, True)
    stored = json.loads(json.dumps(dict(flatten(changed))))
    assert from_values(Outer(), stored) == changed


@pytest.mark.parametrize("name", configs.CONFIGS)
def test_named_configs_come_back_from_json_exactly(name):
    config = configs.named(name)
    assert from_values(config, json.loads(json.dumps(dict(flatten(config))))) == config


def test_stored_settings_of_another_version_are_refused_by_key():
    stored = dict(flatten(Outer()))
    with pytest.raises(ConfigError, match="have an unknown key 'units'"):
        from_values(Outer(), {**stored, "units": 3})
    del stored["inner.rate"]
    with pytest.raises(ConfigError, match=r"lack key 'inner\.rate'"):
        from_values(Outer(), stored)


@pytest.mark.parametrize("name, value, least", [
    ("num_samples", 0, 1), ("num_gibbs_steps", 0, 1), ("num_frames", 0, 1),
    ("num_ais_frames", 0, 1), ("num_ais_runs", 1, 2)])
def test_an_evaluation_of_nothing_is_refused(name, value, least):
    with pytest.raises(
            ConfigError, match=f"evaluation.{name} must be at least {least}, got {value}"):
        override(configs.named("rnn_rbm_jsb"), [f"evaluation.{name}={value}"])


def test_an_unknown_config_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="config must be one of rnn_jsb, .*, got 'rnn_jbs'"):
        configs.named("rnn_jbs")
