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

"""Strict reading of configuration files: pydantic models, errors of one sentence."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import ClassVar, TypeVar, get_args, get_origin

import pydantic
import yaml

from tinyvla_ros.core.errors import InputError, unknown

# Tags of a union that a file does not know about: they are left out of messages.
HIDDEN_TAGS = ("", " ")


class Config(pydantic.BaseModel):
    """Base of every configuration: immutable, and an unknown field is an error.

    Attributes:
        old_names: names that fields had in the release before -> their names now. Files may use
            them for one more release; ``parse`` warns.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    old_names: ClassVar[Mapping[str, str]] = {}


ConfigT = TypeVar("ConfigT", bound=Config)


def parse(model: type[ConfigT], data: object, where: str, error=InputError) -> ConfigT:
    """Build ``model`` from plain data.

    Args:
        model: a ``Config`` class.
        data: what the file held, normally a dict.
        where: name of the source, for the message.
        error: exception class to raise.

    Raises:
        InputError: one sentence with the field, its value and what would be valid.
    """
    data = with_new_names(model, data, where)
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as err:
        more = f" ({err.error_count() - 1} more problems)" if err.error_count() > 1 else ""
        raise error(f"{where}: {_problem(model, err.errors()[0])}{more}") from None


def _problem(model: type[pydantic.BaseModel], error: Mapping) -> str:
    """Return the sentence for one of pydantic's errors."""
    kind, loc = error["type"], tuple(p for p in error["loc"] if p not in HIDDEN_TAGS)
    path = ".".join(map(str, loc)) or "the whole file"
    if kind == "missing":
        return f"field '{path}' is missing; add it."
    if kind == "extra_forbidden":
        holder = _model_at(model, loc[:-1])
        parent, _, name = path.rpartition(".")
        sentence = unknown("field", name, holder.model_fields if holder else ())
        return f"{parent}: {sentence}" if parent else sentence
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        path += "." + error["ctx"]["discriminator"].strip("'")
        if "tag" not in error["ctx"]:
            return f"field '{path}' is missing; add it."
        tags = error["ctx"]["expected_tags"].replace("'", "").split(", ")
        return unknown(path, error["ctx"]["tag"], tags)
    message = error["msg"].removeprefix("Value error, ").removesuffix(".")
    message += "" if message.endswith("?") else "."
    if kind == "value_error" and isinstance(error["input"], dict):
        # A check of several fields names them itself.
        return f"{path}: {message}" if loc else message
    shown = repr(error["input"])
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return f"'{path}' is {shown}: {message}"


def override(data: object, settings: Iterable[str], model: type[Config]) -> object:
    """Return plain data with settings ``dotted.key=value`` replaced; values are YAML.

    Args:
        data: what the file held; not changed.
        settings: e.g. ``optimization.steps=100``.
        model: the class the data is for; its keys are the known ones.

    Raises:
        InputError: a setting without ``=``, a value that is not YAML, or an unknown key.
    """
    data = copy.deepcopy(data)
    if settings:
        data = with_new_names(model, data, "the file")
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = _new_key(model, key)
        if not equals:
            raise InputError(f"Setting {setting!r} has no '='; give key=value, for example "
                             "optimization.steps=100.")
        known = list(_keys(model))
        if key not in known and not any(key.startswith(f"{k}.") for k in _mappings(model)):
            raise InputError(unknown("setting", key, known))
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as err:
            raise InputError(f"Setting {key} is {text!r}, which is not valid YAML "
                             f"({' '.join(str(err).split())}).") from None
        *path, last = key.split(".")
        holder = data
        for part in path:
            holder = holder.setdefault(part, {})
        holder[last] = value
    return data


def with_new_names(model: type[pydantic.BaseModel], data: object, where: str) -> object:
    """Return plain data in which no field has its old name; warn about those that had."""
    if not isinstance(data, dict):
        return data
    renamed = {}
    for key, value in data.items():
        new = _new_name(model, key, where) if key not in model.model_fields else key
        for name, inner in _nested(model):
            if name == new:
                value = with_new_names(inner, value, where)
        renamed[new if new not in data or new == key else key] = value
    return renamed


def _new_key(model: type[pydantic.BaseModel], key: str) -> str:
    first, dot, rest = key.partition(".")
    first = _new_name(model, first, f"Setting {key!r}")
    for name, inner in _nested(model):
        if dot and name == first:
            rest = _new_key(inner, rest)
    return first + dot + rest


def _new_name(model: type[pydantic.BaseModel], name: str, where: str) -> str:
    new = getattr(model, "old_names", {}).get(name, name)
    if new != name:
        logging.getLogger(__name__).warning(
            "%s: '%s' is now called '%s'; the old name will not be accepted by the next release.",
            where, name, new)
    return new


def _nested(model: type[pydantic.BaseModel]) -> Iterator[tuple[str, type[pydantic.BaseModel]]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        for member in (inner, *(get_args(inner) if get_origin(inner) is UnionType else ())):
            if isinstance(member, type) and issubclass(member, pydantic.BaseModel):
                yield name, member


def _keys(model: type[pydantic.BaseModel]) -> Iterator[str]:
    """Every dotted key of a model, those of nested models before their own."""
    for name in model.model_fields:
        members = [m for n, m in _nested(model) if n == name]  # several of a union
        yield from dict.fromkeys(f"{name}.{key}" for m in members for key in _keys(m))
        yield name


def _mappings(model: type[pydantic.BaseModel]) -> Iterator[str]:
    """Dotted keys whose value is a mapping with keys of the user's own."""
    for name, field in model.model_fields.items():
        if get_origin(field.annotation) is dict:
            yield name
    for name, inner in _nested(model):
        yield from (f"{name}.{key}" for key in _mappings(inner))


def _model_at(model: type[pydantic.BaseModel], loc: tuple) -> type[pydantic.BaseModel] | None:
    """Follow an error location down to the nested model that holds the field."""
    models = [model]
    for part in loc:
        holder = next((m for m in models if part in m.model_fields), None)
        if holder is not None:
            models = list(models_in(holder.model_fields[part].annotation))
        else:  # an index, a mapping's key, or the tag of a union's member
            models = [m for m in models if any(part in get_args(field.annotation)
                                               for field in m.model_fields.values())] or models
    return models[0] if models else None


def models_in(annotation: object) -> Iterator[type[pydantic.BaseModel]]:
    """Yield the models that a type consists of, like the two of ``dict[str, A] | B``."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


# Ten times faster where libyaml is there; it matters for a directory of bags.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# A date such as 2026-02-30 is a ValueError there, and what is nested too deep a RecursionError.
YAML_ERRORS = (yaml.YAMLError, ValueError, RecursionError)


def read_yaml(path: str | Path) -> object:
    """Read a YAML file; any failure is an ``InputError`` naming the file."""
    return _read(path, "YAML", lambda text: yaml.load(text, _LOADER), YAML_ERRORS)


def parse_yaml(text: str, where: str) -> object:
    """Read YAML that is no file; any failure is an ``InputError`` with what it is the text of."""
    try:
        return yaml.load(text, _LOADER)
    except YAML_ERRORS as err:
        raise InputError(f"{where} is not valid YAML: {' '.join(str(err).split())}.") from None


def read_json(path: str | Path) -> object:
    """Read a JSON file; any failure is an ``InputError`` naming the file."""
    return _read(path, "JSON", json.loads, (ValueError, RecursionError))


def _read(path, kind, load, load_errors):
    path = Path(path)
    try:
        return load(path.read_text(encoding="utf-8-sig"))  # Windows editors add a BOM
    except OSError as err:
        reason = err.strerror or err
        raise InputError(f"Cannot read {path}: {reason}; give the path of a readable {kind} file."
                         ) from None
    except load_errors as err:  # those of decoding are ValueErrors
        reason = " ".join(str(err).split())
        raise InputError(f"{path} is not valid {kind}: {reason}.") from None
