"""The stack, and the functions in it."""

from collections.abc import Iterator

from cli.doctor.facts import QUEUES, Facts
from cli.doctor.finding import Finding, ok, unknown, wrong
from cli.errors import CliError

_OUTPUTS = (*QUEUES.values(), "DeadLetterQueueUrl", "InputBucketName", "ResultsBucketName", "InvokeFunctionName")
_DEPLOY = "deploy again: cdk deploy"


def check_stack(facts: Facts) -> Iterator[Finding]:
    """The stack is deployed, and says where everything is."""
    status = facts.stack_status
    if status.endswith("_IN_PROGRESS"):
        yield unknown("stack", f"it is {status}", "wait until it is deployed, and look again")
    elif status in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}:
        yield ok("stack", status)
    else:
        yield wrong("stack", f"it is {status}", "see its events in CloudFormation, mend what they say and deploy again")
    missing = [name for name in _OUTPUTS if name not in facts.deployment.outputs]
    if missing:
        yield wrong("stack outputs", f"{', '.join(missing)} missing", f"of another version of Sluice; {_DEPLOY}")


def check_functions(facts: Facts) -> Iterator[Finding]:
    """Each queue's function is there, active, and the last update of it went well."""
    for queue in QUEUES:
        for mapping in facts.mappings(queue):
            function = facts.function(mapping["FunctionArn"])
            name = f"function of the {queue}"
            state, update = function.get("State", "Active"), function.get("LastUpdateStatus", "Successful")
            if state in {"Active", "Inactive"} and update == "Successful":  # an inactive one wakes when it is called
                yield ok(name, f"{state}, {function['MemorySize']} MB")
            elif "Pending" in state or update == "InProgress":
                yield unknown(name, f"it is {state}, its update {update}", "look again in a minute")
            else:
                why = function.get("StateReason") or function.get("LastUpdateStatusReason") or f"{state}, {update}"
                yield wrong(name, why, _DEPLOY)


def check_settings(facts: Facts) -> Iterator[Finding]:
    """The functions can read their settings."""
    try:
        settings = facts.settings
    except CliError as error:
        yield wrong("settings", error.message.removeprefix("--stack: "), _DEPLOY)
        return
    yield ok("settings", f"{len(settings.endpoint_names)} endpoints: {', '.join(settings.endpoint_names)}")


def check_mappings(facts: Facts) -> Iterator[Finding]:
    """Each queue feeds a function, reports failures one by one, and is bounded."""
    for queue in QUEUES:
        name = f"event source mapping of the {queue}"
        mappings = facts.mappings(queue)
        if not mappings:
            yield wrong(name, "there is none: nothing takes its messages", _DEPLOY)
        for mapping in mappings:
            maximum = mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
            if mapping["State"] not in {"Enabled", "Enabling", "Updating", "Creating"}:
                why = mapping.get("StateTransitionReason", "")
                enable = f"aws lambda update-event-source-mapping --uuid {mapping['UUID']} --enabled"
                yield wrong(name, f"it is {mapping['State']} ({why})", enable)
            elif "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", []):
                yield wrong(name, "ReportBatchItemFailures is off: SQS deletes what is to be retried", _DEPLOY)
            elif maximum is None:
                yield wrong(name, "MaximumConcurrency is not set: the endpoints may see any number at once", _DEPLOY)
            else:
                yield ok(name, f"{mapping['State']}, MaximumConcurrency {maximum}")
