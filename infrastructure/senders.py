"""Senders of other accounts: whom the request queue's own policy lets send. It lets nobody receive."""

from collections.abc import Iterator, Mapping
from typing import Any

from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs

from infrastructure import encryption
from infrastructure.errors import SettingsError
from infrastructure.settings import Settings


def admit(queue: sqs.IQueue, settings: Settings, *, own: bool) -> None:
    """Let the settings' accounts and organization send to `queue`; `own` says whether this app makes it.

    Their administrators still have to let a role of theirs do it: across accounts, both sides must allow. Raises
    `SettingsError` when the queue's policy can't be changed from here.
    """
    for sid, principal, conditions in _senders(settings):
        if not own:
            raise SettingsError(
                "sluice.sender_accounts, sender_organization: the policy of a request queue that is there already "
                "can't be changed from here; leave them out, and let the senders in by that queue's own policy"
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
        encryption.admit_senders(queue.encryption_master_key, sid, principal, conditions)


def _senders(settings: Settings) -> Iterator[tuple[str, iam.IPrincipal, Mapping[str, Any]]]:
    if settings.sender_accounts:
        accounts = [iam.AccountPrincipal(account) for account in settings.sender_accounts]
        yield "SendersOfAccounts", iam.CompositePrincipal(*accounts), {}
    if settings.sender_organization is not None:
        of_it = {"StringEquals": {"aws:PrincipalOrgID": settings.sender_organization}}
        yield "SendersOfTheOrganization", iam.AnyPrincipal(), of_it
