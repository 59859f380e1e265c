"""A customer's KMS key: the one to use, and the permissions for it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from infrastructure.errors import SettingsError
from infrastructure.settings import Settings

# To encrypt, SQS and S3 ask KMS for a data key. SendMessage and UploadPart also need to decrypt it.
_ENCRYPT_AND_DECRYPT = ["kms:Decrypt", "kms:GenerateDataKey"]


def choose_key(scope: Construct, settings: Settings, given: kms.IKey | None) -> kms.IKey | None:
    """Return the key that is `given`, or the one that the settings name, or None.

    Raises `SettingsError` when there are both.
    """
    if settings.kms_key_arn is None:
        return given
    if given is not None:
        raise SettingsError("sluice.kms_key_arn: leave it out where the construct gets a key")
    return kms.Key.from_key_arn(scope, "Key", settings.kms_key_arn)


def allow_service(key: kms.IKey | None, service: str) -> None:
    """Allow an AWS service to send to queues that `key` encrypts.

    The statement has no condition, because EventBridge gives KMS no source. The queues' policies say whose events are
    accepted. The policy of an imported key can't be changed from here; docs/construct.md has the statement.
    """
    if key is not None:
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid=f"Sluice{service.partition('.')[0].capitalize()}",
                principals=[iam.ServicePrincipal(service)],
                actions=_ENCRYPT_AND_DECRYPT,
                resources=["*"],
            )
        )


def allow_senders(key: kms.IKey | None, sid: str, principal: iam.IPrincipal, conditions: Mapping[str, Any]) -> None:
    """Allow senders of other accounts to use the key of the queue they send to, unless it is an imported one."""
    if key is not None:
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid=f"Sluice{sid}",
                principals=[principal],
                actions=_ENCRYPT_AND_DECRYPT,
                resources=["*"],
                conditions=conditions,
            )
        )


def statements(
    *, read: Iterable[kms.IKey | None], read_and_written: Iterable[kms.IKey | None]
) -> Sequence[iam.PolicyStatement]:
    """Return a function's permissions for the keys of what it only reads, and of what it reads and writes."""
    written_arns = _arns(read_and_written)
    read_arns = [arn for arn in _arns(read) if arn not in written_arns]
    found = (("UseKeys", _ENCRYPT_AND_DECRYPT, written_arns), ("ReadWithKeys", ["kms:Decrypt"], read_arns))
    return [iam.PolicyStatement(sid=sid, actions=actions, resources=arns) for sid, actions, arns in found if arns]


def _arns(keys: Iterable[kms.IKey | None]) -> list[str]:
    return list(dict.fromkeys(key.key_arn for key in keys if key is not None))
