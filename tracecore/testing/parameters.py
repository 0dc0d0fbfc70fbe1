"""Rules about a stage's parameters: they go into the record and the staleness key, so they must be plain, frozen and whole."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import rfc8785
from pydantic import BaseModel, PydanticUserError, ValidationError

from tracecore.failure import reason_of
from tracecore_schemas.canonical import jcs

__all__ = ["param_problems"]


def param_problems(model: type[BaseModel], given: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with a stage's `Params`.

    Args:
        model: the stage's.
        given: values for those without a default.
    """
    if not model.model_config.get("frozen"):
        yield "Params are not frozen: subclass tracecore.Params"
    if model.model_config.get("extra") != "forbid":
        yield "Params take unknown keys, so a mistyped one is never noticed: subclass tracecore.Params"
    yield from _default_problems(model, given)
    try:
        params = model.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        yield f"the sample's parameters are not valid: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        return
    yield from _pickle_problems(params)
    yield from _json_problems(params)


def _default_problems(model: type[BaseModel], given: Mapping[str, Any]) -> Iterator[str]:
    """Validate every default by the model's own rules, which pydantic leaves out unless asked."""
    for name, field in model.model_fields.items():
        if field.is_required():
            continue
        default = field.get_default(call_default_factory=True, validated_data=dict(given))
        try:
            model.model_validate({**given, name: default})
        except ValidationError as error:
            wrong = [each for each in error.errors() if each["loc"][:1] == (name,)]
            if wrong:
                yield f"the default of '{name}', {default!r}, is not valid: {wrong[0]['msg']}"


def _pickle_problems(params: BaseModel) -> Iterator[str]:
    try:
        again = pickle.loads(pickle.dumps(params))  # noqa: S301  # what was pickled on this very line
    except KeyboardInterrupt:
        raise
    except Exception as error:  # noqa: BLE001  # pickling calls whatever code the values bring
        name = _unpicklable(params)
        yield f"Params can't be pickled, so no other process can run the stage{f': the parameter {name!r}' if name else ''} ({reason_of(error)})"
        return
    if again != params:
        yield "Params are not the same after pickling"


def _unpicklable(params: BaseModel) -> str:
    for name in type(params).model_fields:
        try:
            pickle.dumps(getattr(params, name))
        except Exception:  # noqa: BLE001  # as above; here only the name is wanted
            return name
    return ""


def _json_problems(params: BaseModel) -> Iterator[str]:
    try:
        values = params.model_dump(mode="json", warnings=False)
        jcs(values)
    except (PydanticUserError, ValueError, TypeError, rfc8785.CanonicalizationError) as error:
        yield f"Params can't be written as JSON, so the record can't hold them ({reason_of(error)})"
        return
    try:
        again = type(params).model_validate_json(params.model_dump_json(warnings=False))
    except ValidationError as error:
        first = error.errors()[0]
        yield f"the parameter '{'.'.join(str(part) for part in first['loc'])}' can't be read back from its own JSON: {first['msg']}"
        return
    if again != params:
        changed = next((name for name in type(params).model_fields if getattr(again, name) != getattr(params, name)), "?")
        yield f"the parameter '{changed}' is another value after JSON: {getattr(params, changed, None)!r} became {getattr(again, changed, None)!r}"
