"""Who may send: other accounts to the request queue, by the settings; only the functions to the queue of parts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs

from infrastructure import encryption
from infrastructure.errors import SettingsError
from infrastructure.settings import Settings


def allow_senders(queue: sqs.IQueue, settings: Settings, *, own: bool) -> None:
    """Allow the accounts and the organization in the settings to send to `queue`; `own` says whether this app makes it.

    An administrator of each account still has to allow a role there to send: across accounts, both sides must allow.

    Raises `SettingsError` when the queue's policy can't be changed from here.
    """
    for sid, principal, conditions in _senders(settings):
        if not own:
            raise SettingsError(
                "sluice.senders: the policy of an existing request queue can't be changed from here; leave out "
                "account_ids and organization_id, and allow the senders in that queue's own policy"
            )
        queue.add_to_resource_policy(
            iam.PolicyStatement(
                sid=sid,
                principals=[principal],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions=conditions,
            )
        )
        encryption.allow_senders(queue.encryption_master_key, sid, principal, conditions)


def allow_only(queue: sqs.Queue, roles: Sequence[iam.IRole]) -> None:
    """Deny everybody but `roles` to send to `queue`, whatever other policies of the account allow."""
    queue.add_to_resource_policy(
        iam.PolicyStatement(
            sid="OnlyTheFunctionsSend",
            effect=iam.Effect.DENY,
            principals=[iam.AnyPrincipal()],
            actions=["sqs:SendMessage"],
            resources=[queue.queue_arn],
            conditions={"ArnNotEquals": {"aws:PrincipalArn": [role.role_arn for role in roles]}},
        )
    )


def _senders(settings: Settings) -> Iterator[tuple[str, iam.IPrincipal, Mapping[str, Any]]]:
    """Yield a Sid, a principal and its conditions for each kind of sender."""
    senders = settings.senders
    if senders.account_ids:
        accounts = [iam.AccountPrincipal(account) for account in senders.account_ids]
        yield "SendersOfAccounts", iam.CompositePrincipal(*accounts), {}
    if senders.organization_id is not None:
        condition = {"StringEquals": {"aws:PrincipalOrgID": senders.organization_id}}
        yield "SendersOfTheOrganization", iam.AnyPrincipal(), condition
