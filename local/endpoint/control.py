"""The operations of SageMaker's control plane that are implemented: what `sluice doctor` asks (JSON 1.1, `POST /`)."""

import json
import time
from collections.abc import Collection

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.endpoint.api import request_id

_TYPE = "application/x-amz-json-1.1"


class ControlPlane:
    """Describes the `endpoints` of one account and region: each has one instance, and is in service.

    DescribeEndpoint finds an endpoint in any upper and lower case. None has inference components.
    """

    def __init__(self, endpoints: Collection[str], account: str, region: str) -> None:
        self._endpoints = {name.lower(): name for name in endpoints}
        self._arn = f"arn:aws:sagemaker:{region}:{account}:endpoint/"
        self._created = time.time()

    async def call(self, request: Request) -> Response:
        """The operation that `X-Amz-Target` names."""
        if not request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 "):
            return _error("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        operation = request.headers.get("x-amz-target", "").removeprefix("SageMaker.")
        if operation == "ListInferenceComponents":
            return _response({"InferenceComponents": []})
        if operation != "DescribeEndpoint":
            return _error("UnknownOperationException", "There is no such operation here.", 404)
        try:
            name = json.loads(await request.body())["EndpointName"]
        except (ValueError, KeyError, TypeError):
            return _error("SerializationException", "The body must be a JSON object with EndpointName.", 400)
        own_name = self._endpoints.get(str(name).lower())
        if own_name is None:
            # SageMaker's ARNs have the endpoint name in lower case.
            return _error("ValidationException", f'Could not find endpoint "{self._arn}{str(name).lower()}".', 400)
        return _response(
            {
                "EndpointName": own_name,
                "EndpointArn": self._arn + own_name.lower(),
                "EndpointConfigName": own_name,
                "ProductionVariants": [
                    {
                        "VariantName": "AllTraffic",
                        "CurrentWeight": 1.0,
                        "DesiredWeight": 1.0,
                        "CurrentInstanceCount": 1,
                        "DesiredInstanceCount": 1,
                    }
                ],
                "EndpointStatus": "InService",
                "CreationTime": self._created,
                "LastModifiedTime": self._created,
            }
        )


def _response(fields: dict[str, object], status: int = 200) -> Response:
    return JSONResponse(fields, status_code=status, media_type=_TYPE, headers=request_id())


def _error(code: str, message: str, status: int) -> Response:
    return _response({"__type": code, "message": message}, status)
