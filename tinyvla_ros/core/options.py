# Copyright 2026 tinyvla_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""From the fields of a ``Config`` to command-line options, messages and reference tables."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import pydantic
from pydantic.fields import FieldInfo

from tinyvla_ros.core.configuration import ConfigT, with_new_names
from tinyvla_ros.core.errors import InputError, did_you_mean

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path",
          str: "text"}


@dataclass(frozen=True)
class Flag:
    """How a field is given on a command line, where its name and type do not tell.

    Put it into the annotation: ``settings: Annotated[tuple[str, ...], Flag("--set")] = ()``.

    Attributes:
        name: e.g. ``--set``; None for the field's name with dashes.
        metavar: what stands for the value in the help.
        positional: without a flag, by its place.
        repeated: one value each time the flag is given, not several after one flag.
        separator: between several values in one argument.
    """

    name: str | None = None
    metavar: str | None = None
    positional: bool = False
    repeated: bool = False
    separator: str | None = None


@dataclass(frozen=True)
class Settable:
    """Marks a ROS parameter that can be set while its node runs; in the annotation, as ``Flag``.

    Attributes:
        when: completes "can be set", for example "at any time; the next inference has it".
    """

    when: str


def settable(field: FieldInfo) -> Settable | None:
    """Return when a ROS parameter can be set; None if it is read-only."""
    return next((m for m in field.metadata if isinstance(m, Settable)), None)


def flag_of(name: str, field: FieldInfo) -> Flag:
    """Return a field's flag with its name filled in; a positional one has its metavar as name."""
    flag = next((m for m in field.metadata if isinstance(m, Flag)), Flag())
    default = flag.metavar or name if flag.positional else f"--{name.replace('_', '-')}"
    return replace(flag, name=flag.name or default)


def add_options(parser: argparse.ArgumentParser, model: type[pydantic.BaseModel]) -> None:
    """Declare the fields of a model as options; their values are checked by ``read_options``."""
    for name, field in model.model_fields.items():
        kind, several = value_type(field)
        flag = flag_of(name, field)
        how: dict[str, Any] = {"help": help_text(field).replace("%", "%%"),
                               "default": argparse.SUPPRESS}
        if kind is bool:
            how["action"] = "store_true"
        else:
            choices = get_args(kind) if get_origin(kind) is Literal else ()
            how["metavar"] = flag.metavar or ("{" + ",".join(choices) + "}" if choices else None)
            if flag.separator:
                how["type"] = partial(_split, flag.separator)
            elif several:
                how |= {"action": "append"} if flag.repeated else {"nargs": "+"}
        if flag.positional:
            if not (field.is_required() or several):
                how["nargs"] = "?"
            parser.add_argument(name, **how)
            continue
        parser.add_argument(flag.name, dest=name, required=field.is_required(), **how)
        for old in [o for o, new in model.old_names.items() if new == name]:
            parser.add_argument(f"--{old.replace('_', '-')}", dest=old,
                                **how | {"help": argparse.SUPPRESS})


def _split(separator: str, text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(separator)) if text else ()


def read_options(model: type[ConfigT], namespace: argparse.Namespace) -> ConfigT:
    """Return the model with what was given on the command line.

    Raises:
        InputError: one sentence with the option, its value and what is valid.
    """
    given = {name: value for name, value in vars(namespace).items()
             if name in model.model_fields or name in model.old_names}
    return validate(model, with_new_names(model, given, "command line"),
                    lambda name: flag_of(name, model.model_fields[name]).name)


def validate(model: type[ConfigT], values: Mapping[str, object],
             label: Callable[[str], str], strict: bool = False) -> ConfigT:
    """Build a flat model from values.

    Args:
        model: a ``Config`` without nested ones.
        values: by field name.
        label: what a field is called where the values come from.
        strict: values have types already, and only an int for a float is converted.

    Raises:
        InputError: one sentence with the field, its value and what is valid.
    """
    try:
        return model.model_validate(values, strict=strict)
    except pydantic.ValidationError as err:
        first = err.errors()[0]
    message = first["msg"].removeprefix("Value error, ").removesuffix(".")
    if not first["loc"]:  # a check of several fields names them itself
        raise InputError(f"{message}.")
    name = str(first["loc"][0])
    field = model.model_fields[name]
    wanted = message if first["type"] == "value_error" else f"give {valid_values(field)}"
    if first["type"] == "missing":
        raise InputError(f"{label(name)} is missing; {wanted}.")
    given = first["input"]
    kind, _ = value_type(field)
    hint = did_you_mean(given, get_args(kind)) if get_origin(kind) is Literal else ""
    shown = shlex.quote(given) if isinstance(given, str) else repr(given)
    raise InputError(f"{label(name)} is {shown}; {wanted}.{hint}")


def value_type(field: FieldInfo) -> tuple[Any, bool]:
    """Return the type of a field's value, None left out, and whether it takes several of them."""
    kind = _plain(field.annotation)
    several = get_origin(kind) is tuple
    return (_plain(get_args(kind)[0]), True) if several else (kind, False)


def _plain(annotation: Any) -> Any:
    """Return a type without ``| None`` and without ``Annotated``."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = tuple(a for a in get_args(annotation) if a is not NoneType)
        annotation = Union[kinds]  # noqa: UP007
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def bounds(field: FieldInfo) -> dict[str, float]:
    """Return the bounds of a field's value or of each of its values: ``ge, gt, le, lt``."""
    found = {}
    for item in _metadata(field):
        for name in ("ge", "gt", "le", "lt"):
            if isinstance(item, getattr(annotated_types, name.capitalize())):
                found[name] = getattr(item, name)
    return found


def _metadata(field: FieldInfo) -> Iterator[Any]:
    yield from field.metadata
    for argument in get_args(field.annotation):  # of the elements of a tuple
        for item in getattr(argument, "__metadata__", ()):
            yield from getattr(item, "metadata", [item])


def valid_values(field: FieldInfo) -> str:
    """Return in words what a field takes, e.g. "a whole number of at least 1"."""
    kind, _ = value_type(field)
    kinds = get_args(kind) if get_origin(kind) is Union else (kind,)
    return " or ".join(_words(k, bounds(field)) for k in kinds)


def _words(kind: Any, limits: Mapping[str, float]) -> str:
    if get_origin(kind) is Literal:
        *others, last = (str(choice) or "''" for choice in get_args(kind))
        return f"{', '.join(others)} or {last}" if others else last
    text, number = _KINDS.get(kind, "a value"), {k: f"{v:.15g}" for k, v in limits.items()}
    if "ge" in limits and "le" in limits:
        return f"{text} from {number['ge']} to {number['le']}"
    phrases = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
    return " ".join([text, " and ".join(f"{phrase} {number[name]}" for name, phrase
                                        in phrases.items() if name in limits)]).rstrip()


def help_text(field: FieldInfo) -> str:
    """Return a field's description with its default."""
    text = (field.description or "").removesuffix(".")
    default = default_text(field)
    return f"{text} (default: {default})".lstrip() if default else text


def default_text(field: FieldInfo) -> str:
    """Return the default as it would be typed; empty if there is none or it is nothing."""
    default = field.default
    if field.is_required() or field.default_factory is not None:
        return ""
    if default is None or default is False or default in ("", ()):
        return ""
    return " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
