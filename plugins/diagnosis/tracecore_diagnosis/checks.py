"""The check `request_usable`: whether a data request can be read and chosen by."""

from __future__ import annotations

from collections import Counter

from pydantic import ValidationError

import tracecore as tc
from tracecore_schemas.data_request import FILE, DataRequest
from tracecore_schemas.strict_json import loads_strict

__all__ = ["RequestUsable"]


class RequestUsable(tc.Check):
    """A data request is what its schema says, and each want can be chosen by."""

    name = "request_usable"
    description = "request.json is a data request, no want stands twice, and each has conditions or frames to go by."

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        """Read the request as curation would."""
        file = context.read() / FILE
        try:
            request = DataRequest.model_validate(loads_strict(file.read_bytes()))
        except (OSError, ValueError, ValidationError) as error:
            return tc.CheckResult(success=False, message=f"{FILE} is no data request: {str(error).splitlines()[0]}")
        names = [want.cluster for want in request.wants]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        empty = [want.cluster for want in request.wants if not want.conditions and not want.like]
        if twice or empty:
            said = [f"{twice[0]} stands twice"] if twice else []
            said += [f"{empty[0]} has neither conditions nor frames to go by"] if empty else []
            return tc.CheckResult(success=False, message=f"The request can't be chosen by: {' and '.join(said)}.")
        return tc.CheckResult(success=True, message=f"{len(names)} wants can be chosen by.", details={"wants": len(names)})
