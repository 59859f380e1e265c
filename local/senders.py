"""Corrects the SenderId of ministack's SQS messages, which is the account ID for every sender.

On AWS it is the ID of the principal: for a user the user ID, for a role `<RoleId>:<session name>` (SQS API reference,
ReceiveMessage). A function has the session of its role under its own name.
"""

import contextvars
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from ministack import app
from ministack.core import iam_evaluator, lambda_runtime, responses, router
from ministack.services import iam, lambda_svc, sqs, sts

Response = tuple[int, dict[str, str], bytes]

_caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="")
_received: dict[str, str] = {}  # the SenderId of each message that an event source mapping received, by message ID

_credentials = lambda_runtime.execution_credentials
_receive = sqs._receive_messages_for_esm
_filter = lambda_svc._apply_filter_criteria
_system_attributes = sqs._build_send_sys_attrs


def principal_id(access_key_id: str) -> str:
    """The ID of the principal that an access key belongs to; the account ID for the root user and for unknown keys."""
    account: str = responses.get_account_id()
    credential = iam_evaluator.resolve_credential(access_key_id)
    if isinstance(credential, iam_evaluator.CredentialResolutionError) or credential.principal_type == "Root":
        return account
    if credential.principal_type == "AssumedRole":
        *_, role_name, session_name = credential.principal_arn.split("/")
        role = iam._roles.get_scoped(credential.account_id, None, role_name) or {}
        return f"{role.get('RoleId', account)}:{session_name}"
    identifier: str = credential.principal_id
    return identifier


def _knowing_the_caller(handler: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Response:
        _caller.set(principal_id(router.extract_access_key_id(headers, query)))
        return await handler(method, path, headers, body, query)

    return handle


def _sent_by_caller(now: float, given: dict[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = _system_attributes(now, given)
    return attributes | ({"SenderId": _caller.get()} if _caller.get() else {})


def _received_for_function(queue_url: str, number: int) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = _receive(queue_url, number)
    _received.update({message["id"]: message["sys"]["SenderId"] for message in messages if "sys" in message})
    return messages


def _with_senders(records: list[dict[str, Any]], mapping: dict[str, Any]) -> list[dict[str, Any]]:
    for record in records:
        if (sender := _received.pop(record.get("messageId", ""), None)) is not None:
            record["attributes"]["SenderId"] = sender
    filtered: list[dict[str, Any]] = _filter(records, mapping)
    return filtered


def _execution_credentials(config: dict[str, Any]) -> dict[str, str]:
    """A session of the function's role. Without AUTH, ministack gives every function the account's credentials."""
    if app.AUTH:
        made: dict[str, str] = _credentials(config)
        return made
    account, role_name = responses.get_account_id(), config.get("Role", "").rpartition("/")[2]
    access_key_id = f"ASIA{hashlib.sha256(config['FunctionArn'].encode()).hexdigest()[:16].upper()}"
    session = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{role_name}/{config['FunctionName'][:64]}",
        "UserId": f"{role_name}:{config['FunctionName'][:64]}",
        "SecretAccessKey": "secret",
        "SessionToken": "token",
    }
    sts.register_session(access_key_id, session)
    return {
        "AWS_ACCESS_KEY_ID": access_key_id,
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }


def correct() -> None:
    """Correct ministack in this process."""
    lambda_runtime.execution_credentials = lambda_svc.execution_credentials = _execution_credentials
    sqs._build_send_sys_attrs = _sent_by_caller
    sqs._receive_messages_for_esm = _received_for_function
    lambda_svc._apply_filter_criteria = _with_senders
    app.SERVICE_HANDLERS["sqs"] = _knowing_the_caller(app.SERVICE_HANDLERS["sqs"])
