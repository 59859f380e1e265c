"""The types of single settings, with the check that each makes by itself."""

import re
import string
from typing import Annotated, Literal

from pydantic import AfterValidator, PlainValidator
from pydantic_core import PydanticCustomError

from infrastructure.errors import SettingProblem
from infrastructure.validation import matching


def _model_status(status: int) -> int:
    if status == 429:
        raise SettingProblem("", "429 is retried without being named, as often as sluice.retry.max_receive_count says")
    if not 400 <= status <= 599:
        raise SettingProblem("", f"must be HTTP statuses of a container's errors, from 400 to 599, not {status}")
    return status


AccountId = Annotated[str, matching(r"\d{12}", "the 12 digits of an AWS account ID, such as 111122223333")]
BucketName = Annotated[
    str,
    matching(
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "the name of a bucket: 3 to 63 lowercase letters, digits, dots and hyphens, such as my-bucket",
    ),
]
ContentType = Annotated[
    str, matching(r"[\x21-\x7e]{1,1024}", "1 to 1,024 visible ASCII characters without spaces, such as text/csv")
]
DeploymentName = Annotated[
    str,
    matching(
        r"[A-Za-z][A-Za-z0-9-]{0,63}",
        "at most 64 letters, digits and hyphens, of which the first is a letter, such as Sluice-Test",
    ),
]
EmailAddress = Annotated[str, matching(r"[^@\s]+@[^@\s]+", "an email address, such as ops@example.com")]
JsonPath = Annotated[  # CreateTransformJob, DataProcessing
    str, matching(r"\$.{0,62}", "a JSONPath of at most 63 characters that begins with $, such as $.features")
]
AnswerFormatName = Annotated[
    str,
    matching(
        r"Lines|LinesWithHeader|JSONArray|JSONField:.{1,100}|CSVRow|Columns(:[^,]{1,100}(,[^,]{1,100})*)?|None",
        "one of Lines, LinesWithHeader, JSONArray, JSONField:<name>, CSVRow, Columns, Columns:<name>,<name>, None",
    ),
]
ModelStatus = Annotated[int, AfterValidator(_model_status)]
ErrorThresholdText = Annotated[
    str,
    matching(
        r"[0-9]{1,15}|(100|[0-9]{1,2})(\.[0-9]{1,9})?%",
        'a number of records in quotes, such as "100", or a percentage of them, such as "5%"',
    ),
]
UrlPath = Annotated[str, matching(r"/[!-~]{1,200}", "the path of a URL, such as /v1/chat/completions")]
KeyArn = Annotated[
    str,
    matching(
        r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+",
        "the ARN of a KMS key, not of an alias, such as "
        "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    ),
]
OrganizationId = Annotated[  # Organizations API, Organization
    str,
    matching(
        r"o-[a-z0-9]{10,32}",
        "the ID of an organization: o- and 10 to 32 lowercase letters and digits, such as o-a1b2c3d4e5",
    ),
]
SecurityGroupId = Annotated[
    str, matching(r"sg-[0-9a-f]{8,17}", "the ID of a security group, such as sg-0a1b2c3d4e5f67890")
]
SubnetId = Annotated[str, matching(r"subnet-[0-9a-f]{8,17}", "the ID of a subnet, such as subnet-0a1b2c3d4e5f67890")]
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


_CUSTOM_ATTRIBUTES = 1024  # InvokeEndpoint API page, CustomAttributes
_TRACE_ID = 64  # characters that a message's TraceId may have


def _custom_attributes_template(template: str) -> str:
    try:
        parts = [part for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise SettingProblem("", f"is not a template: {error}") from None
    fields = {field for _, field, _, _ in parts}
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise SettingProblem("", "must name its fields alone, as in {trace_id}, without a format or a conversion")
    if "trace_id" not in fields or not fields <= {"trace_id", "custom_attributes"}:
        raise SettingProblem(
            "",
            "must hold {trace_id} and may hold {custom_attributes}, as in '{custom_attributes},trace_id={trace_id}'",
        )
    if not (template.isascii() and template.isprintable()):
        raise SettingProblem("", "must be visible ASCII, because it is sent as an HTTP header")
    room = _CUSTOM_ATTRIBUTES - _TRACE_ID * len([field for _, field, _, _ in parts if field == "trace_id"])
    if len(template.format(trace_id="", custom_attributes="")) > room:
        raise SettingProblem(
            "",
            f"must be shorter: SageMaker takes {_CUSTOM_ATTRIBUTES} characters, with a trace ID of up to {_TRACE_ID}",
        )
    return template


CustomAttributesTemplate = Annotated[str, AfterValidator(_custom_attributes_template)]
