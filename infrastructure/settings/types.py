"""The types of single settings, with the check that each makes by itself."""

import re
import string
from typing import Annotated, Literal

from pydantic import AfterValidator, PlainValidator, StringConstraints
from pydantic_core import PydanticCustomError

from infrastructure.errors import SettingProblem

AccountId = Annotated[str, StringConstraints(pattern=r"^\d{12}$")]
BucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
ContentType = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[\x21-\x7e]+$")]
DeploymentName = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9-]*$")]
EmailAddress = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")]
JsonPath = Annotated[str, StringConstraints(pattern=r"^\$", max_length=63)]  # CreateTransformJob, DataProcessing
KeyArn = Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$")]
OrganizationId = Annotated[str, StringConstraints(pattern=r"^o-[a-z0-9]{10,32}$")]  # Organizations API, Organization
SecurityGroupId = Annotated[str, StringConstraints(pattern=r"^sg-[0-9a-f]{8,17}$")]
SubnetId = Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]{8,17}$")]
# The values that CloudWatch Logs accepts (PutRetentionPolicy API page).
LogDays = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]
_TOPIC_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}")  # a FIFO topic ends in .fifo


def _topic(value: object) -> bool | str:
    if isinstance(value, bool) or (isinstance(value, str) and _TOPIC_ARN.fullmatch(value)):
        return value
    raise PydanticCustomError(
        "topic", "must be true for a topic of the stack's own, the ARN of a standard SNS topic, or false"
    )


Topic = Annotated[bool | str, PlainValidator(_topic)]
"""True for a topic that the stack makes, the ARN of an existing one, or False for none."""


def _custom_attributes_template(template: str) -> str:
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
    except ValueError as error:
        raise SettingProblem("", f"is not a template: {error}") from None
    if "trace_id" not in fields or not fields <= {"trace_id", "custom_attributes"}:
        raise SettingProblem(
            "",
            "must hold {trace_id} and may hold {custom_attributes}, as in '{custom_attributes},trace_id={trace_id}'",
        )
    if not (template.isascii() and template.isprintable()):
        raise SettingProblem("", "must be visible ASCII, because it is sent as an HTTP header")
    return template


CustomAttributesTemplate = Annotated[str, AfterValidator(_custom_attributes_template)]
