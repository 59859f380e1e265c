"""Checks of the stack: its outputs, the functions, their settings and their event source mappings."""

from collections.abc import Iterator
from functools import partial

from cli.doctor.deployment_state import QUEUES, DeploymentState
from cli.doctor.finding import Finding, ok, unknown, wrong
from cli.doctor.remedies import REVERT
from cli.errors import CliError

_OUTPUTS = (*QUEUES.values(), "DeadLetterQueueUrl", "InputBucketName", "ResultsBucketName", "InvokeFunctionName")
_DEPLOY = "deploy this version: make deploy"
_CORRECT = "correct the cause that Lambda names, then deploy: make deploy"
_FUNCTION = "function of the {}"
_MAPPING = "event source mapping of the {}"


def check_stack(state: DeploymentState) -> Iterator[Finding]:
    """The stack is deployed and has all outputs."""
    status = state.stack_status
    if status.endswith("_IN_PROGRESS"):
        yield unknown("stack", f"it is {status}", "check again when it is deployed")
    elif status in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}:
        yield ok("stack", status)
    else:
        yield wrong("stack", f"it is {status}", "see its events in CloudFormation, correct the cause and deploy again")
    missing = [name for name in _OUTPUTS if name not in state.deployment.outputs]
    if missing:
        yield wrong("stack outputs", f"{', '.join(missing)} missing", f"it is of another version of Sluice; {_DEPLOY}")


def check_functions(state: DeploymentState) -> Iterator[Finding]:
    """The function of each queue is active, and its last update succeeded."""
    return state.reporter.each(state.mapped_queues, _FUNCTION, partial(_check_function, state))


def _check_function(state: DeploymentState, queue: str) -> Iterator[Finding]:
    for mapping in state.mappings(queue):
        function = state.function(mapping["FunctionArn"])
        name = _FUNCTION.format(queue)
        status, update = function.get("State", "Active"), function.get("LastUpdateStatus", "Successful")
        # An inactive function becomes active when it is invoked.
        if status in {"Active", "Inactive"} and update == "Successful":
            yield ok(name, f"{status}, {function.get('MemorySize')} MB")
        elif "Pending" in status or update == "InProgress":
            yield unknown(name, f"it is {status}, its update {update}", "check again in a minute")
        else:
            reason = function.get("StateReason") or function.get("LastUpdateStatusReason")
            yield wrong(name, reason or f"{status}, {update}", _CORRECT)


def check_settings(state: DeploymentState) -> Iterator[Finding]:
    """The settings in the environment of the functions are complete and valid."""
    try:
        settings = state.settings
    except CliError as error:
        yield wrong("settings", error.message.removeprefix("--stack: "), REVERT)
        return
    yield ok("settings", f"{len(settings.endpoint_names)} endpoints: {', '.join(settings.endpoint_names)}")


def check_mappings(state: DeploymentState) -> Iterator[Finding]:
    """Each queue has an enabled mapping that reports batch item failures and limits the concurrency."""
    return state.reporter.each(state.mapped_queues, _MAPPING, partial(_check_mappings, state))


def _check_mappings(state: DeploymentState, queue: str) -> Iterator[Finding]:
    name = _MAPPING.format(queue)
    mappings = state.mappings(queue)
    if not mappings:
        yield wrong(name, "there is none: the messages of the queue are not processed", REVERT)
    for mapping in mappings:
        maximum = mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
        update = f"aws lambda update-event-source-mapping --uuid {mapping['UUID']}"
        if mapping["State"] not in {"Enabled", "Enabling", "Updating", "Creating"}:
            reason = mapping.get("StateTransitionReason", "")
            yield wrong(name, f"it is {mapping['State']} ({reason})", f"{update} --enabled")
        elif "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", []):
            yield wrong(
                name,
                "ReportBatchItemFailures is off: SQS deletes messages that should be retried",
                f"{update} --function-response-types ReportBatchItemFailures",
            )
        elif maximum is None:
            yield wrong(name, "MaximumConcurrency is not set: requests to the endpoints are not limited", REVERT)
        else:
            yield ok(name, f"{mapping['State']}, MaximumConcurrency {maximum}")
