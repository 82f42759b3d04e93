# SPDX-License-Identifier: Apache-2.0
"""Strict reading of configuration files: pydantic models, errors of one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

import pydantic
import yaml

from tinyvla_ros.errors import InputError, unknown


class Config(pydantic.BaseModel):
    """Base of every configuration: immutable, and an unknown field is an error."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


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
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as err:
        first = err.errors()[0]
        path = ".".join(str(p) for p in first["loc"]) or "the whole file"
        more = f" ({err.error_count() - 1} more problems)" if err.error_count() > 1 else ""
        if first["type"] == "extra_forbidden":
            holder = _model_at(model, first["loc"][:-1])
            known = list(holder.model_fields) if holder else []
            sentence = unknown("field", path.rsplit(".", 1)[-1], known)
            raise error(f"{where}: {sentence}{more}") from None
        message = first["msg"].removeprefix("Value error, ")
        shown = repr(first["input"])
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        if first["type"] == "missing":
            raise error(f"{where}: field '{path}' is missing; add it.{more}") from None
        raise error(f"{where}: '{path}' is {shown}: {message}.{more}") from None


def _model_at(model: type[pydantic.BaseModel], loc: tuple) -> type[pydantic.BaseModel] | None:
    """Follow an error location down to the nested model that holds the field."""
    for part in loc:
        if not isinstance(part, str) or part not in model.model_fields:
            continue  # an index or a mapping key
        annotation = model.model_fields[part].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        nested = [c for c in candidates
                  if isinstance(c, type) and issubclass(c, pydantic.BaseModel)]
        if not nested:
            return None
        model = nested[0]
    return model


def read_yaml(path: str | Path) -> object:
    """Read a YAML file; any failure is an ``InputError`` naming the file."""
    return _read(path, "YAML", lambda text: yaml.safe_load(text), yaml.YAMLError)


def read_json(path: str | Path) -> object:
    """Read a JSON file; any failure is an ``InputError`` naming the file."""
    return _read(path, "JSON", json.loads, json.JSONDecodeError)


def _read(path, kind, load, load_error):
    path = Path(path)
    try:
        return load(path.read_text(encoding="utf-8"))
    except OSError as err:
        reason = err.strerror or err
        raise InputError(f"Cannot read {path}: {reason}; give the path of a readable {kind} file."
                         ) from None
    except (load_error, UnicodeDecodeError) as err:
        reason = " ".join(str(err).split())
        raise InputError(f"{path} is not valid {kind}: {reason}.") from None
