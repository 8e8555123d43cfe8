"""Settings of nested dataclasses: dotted keys, typed values from the command line, JSON."""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

Config = TypeVar("Config")


class ConfigError(ValueError):
    """A setting, a named config or a stored config that does not fit. The message is one line."""


def flatten(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Walks the settings of a nested dataclass.

    Args:
        config: The dataclass.
        prefix: Dotted path of `config` itself, with its final dot.

    Yields:
        Dotted key and value of each setting, in the order of definition.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from flatten(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value


def override(config: Config, assignments: list[str]) -> Config:
    """Returns a copy of a config with some settings replaced.

    Args:
        config: A nested dataclass.
        assignments: `key=value` with dotted keys, as typed on a command line.

    Returns:
        The copy.

    Raises:
        ConfigError: If an assignment has no equals sign, its key names no setting, or its value
            is not of the setting's type or is out of range.
    """
    known = [key for key, _ in flatten(config)]
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"set must be key=value, got {assignment!r}: put an equals sign.")
        if key not in known:
            raise ConfigError(f"set names an unknown key {key!r}: {_nearest(key, known)}.")
        config = _replace(config, key.split("."), key, text)
    return config


def from_values(config: Config, values: Mapping[str, Any]) -> Config:
    """Returns a copy of a config that has stored values, read from JSON.

    Args:
        config: A nested dataclass of the same shape.
        values: Every dotted key with its value, as `dict(flatten(config))` gives.

    Returns:
        The copy.

    Raises:
        ConfigError: If a key is missing or unknown, or a value is of the wrong type.
    """
    known = [key for key, _ in flatten(config)]
    odd = sorted(set(known) ^ set(values))
    if odd:
        what = "lack" if odd[0] in known else "have an unknown"
        raise ConfigError(f"the stored settings {what} key {odd[0]!r}: another version wrote them.")
    return override(config, [f"{key}={values[key]}" for key in known])


def _replace(config: Any, path: list[str], key: str, text: str) -> Any:
    """Returns a copy with the setting at `path` read from `text`."""
    name, rest = path[0], path[1:]
    if rest:
        return dataclasses.replace(
            config, **{name: _replace(getattr(config, name), rest, key, text)}
        )
    value = _read(typing.get_type_hints(type(config))[name], key, text)
    return dataclasses.replace(config, **{name: value})


def _read(kind: Any, key: str, text: str) -> Any:
    """Returns the text as a value of the setting's type."""
    if typing.get_origin(kind) is types.UnionType:  # only `kind | None` is used
        if text.lower() == "none":
            return None
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) is typing.Literal:
        choices = typing.get_args(kind)
        if text not in choices:
            raise ConfigError(f"{key} must be one of {', '.join(choices)}, got {text!r}.")
        return text
    try:
        value = {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise ConfigError(
            f"{key} must be {_ENGLISH[kind]}, got {text!r}: give it as in {key}={_EXAMPLE[kind]}."
        ) from None
    if kind in (int, float) and not (math.isfinite(value) and value >= 0):
        raise ConfigError(
            f"{key} must be finite and not negative, got {text}: every setting is a count, a rate "
            "or a seed."
        )
    return value


_ENGLISH = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_EXAMPLE = {int: "100", float: "0.01", bool: "true", str: "name"}


def _nearest(key: str, known: list[str]) -> str:
    """Returns advice that names the known keys closest to a wrong one."""
    last = key.rpartition(".")[2]
    same_end = [name for name in known if name.rpartition(".")[2] == last]
    close = same_end or difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    return f"nearest is {' or '.join(close)}" if close else f"known are {', '.join(known)}"
