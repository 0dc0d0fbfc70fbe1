"""A data request read from its artifact."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

import tracecore as tc
from tracecore_schemas.data_request import FILE, DataRequest
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["read_request"]


def read_request(folder: Path) -> DataRequest:
    """Read the request of a `data_request` artifact.

    Raises:
        UsageError: it holds none, or what it holds is none.
    """
    file = folder / FILE
    try:
        return DataRequest.model_validate(loads_strict(file.read_bytes()))
    except OSError as error:
        raise tc.UsageError(f"The input 'request' holds no {FILE}: wire it to a data_request, such as diagnosis.request.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise tc.UsageError(f"The data request is none that this version can read: {where}: {first['msg']}.") from error
    except StrictJSONError as error:
        raise tc.UsageError(f"The data request is no JSON: {error}") from error
