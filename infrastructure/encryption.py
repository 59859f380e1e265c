"""A KMS key of one's own: who is let to use it, and for what."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from infrastructure.errors import SettingsError
from infrastructure.settings import Settings

# SQS and S3 ask KMS for a data key to encrypt with; what is sent to a queue or put in parts is also decrypted.
_USE = ["kms:Decrypt", "kms:GenerateDataKey"]


def key_of(scope: Construct, settings: Settings, given: kms.IKey | None) -> kms.IKey | None:
    """The key that is `given`, or the settings' one, or None.

    Raises `SettingsError` when there are two.
    """
    if given is not None and settings.kms_key_arn is not None:
        raise SettingsError("sluice.kms_key_arn: leave it out where the construct gets a key")
    if settings.kms_key_arn is not None:
        return kms.Key.from_key_arn(scope, "Key", settings.kms_key_arn)
    return given


def admit(key: kms.IKey | None, service: str) -> None:
    """Let an AWS service send to queues that `key` encrypts.

    Without conditions: EventBridge states no source to KMS. Whose events may be sent, the queues' policies say.
    The policy of a key that isn't of this app can't be changed from here: docs/construct.md has the statement.
    """
    if key is not None:
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid=f"Sluice{service.partition('.')[0].capitalize()}",
                principals=[iam.ServicePrincipal(service)],
                actions=_USE,
                resources=["*"],
            )
        )


def admit_senders(key: kms.IKey | None, sid: str, principal: iam.IPrincipal, conditions: Mapping[str, Any]) -> None:
    """Let senders of other accounts use the key of the queue they send to; as in `admit`, a key of this app."""
    if key is not None:
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid=f"Sluice{sid}", principals=[principal], actions=_USE, resources=["*"], conditions=conditions
            )
        )


def statements(*, read: Iterable[kms.IKey | None], used: Iterable[kms.IKey | None]) -> Sequence[iam.PolicyStatement]:
    """What a function may do with the keys of what it only reads, and of what it also writes."""
    used_arns = _arns(used)
    read_arns = [arn for arn in _arns(read) if arn not in used_arns]
    found = (("UseKeys", _USE, used_arns), ("ReadWithKeys", ["kms:Decrypt"], read_arns))
    return [iam.PolicyStatement(sid=sid, actions=actions, resources=arns) for sid, actions, arns in found if arns]


def _arns(keys: Iterable[kms.IKey | None]) -> list[str]:
    return list(dict.fromkeys(key.key_arn for key in keys if key is not None))
