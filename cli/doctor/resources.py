"""Checks that each resource of the stack exists, and is as its template declares it.

The list of what must exist is the stack's own, and so covers what a setting or a later version adds.
"""

from collections.abc import Iterator

from botocore.exceptions import ClientError

from cli.doctor.actual import READERS
from cli.doctor.compare import differences
from cli.doctor.deployment_state import DeploymentState
from cli.doctor.errors import AWS_ERRORS, MissingResourceError, is_missing
from cli.doctor.finding import Finding, Verdict, ok, wrong
from cli.doctor.remedies import recreate, restore
from cli.doctor.template import Resource


def check_resources(state: DeploymentState) -> Iterator[Finding]:
    """Each resource of the stack whose type is known. Those that are as they should be have one finding together."""
    findings = (_check(state, resource) for resource in state.template if resource.type in READERS)
    good = 0
    for finding in findings:
        if finding.verdict is Verdict.OK:
            good += 1
        else:
            yield finding
    if good:
        yield ok("resources", f"{good} exist, and are as they were deployed")


def _check(state: DeploymentState, resource: Resource) -> Finding:
    kind, read = READERS[resource.type]
    name = f"{kind} {_short(resource)}"
    try:
        actual = read(state.deployment, resource)
    except MissingResourceError:
        return _deleted(state, name, resource)
    except ClientError as error:
        return _deleted(state, name, resource) if is_missing(error) else state.reporter.finding(name, error)
    except AWS_ERRORS as error:
        return state.reporter.finding(name, error)
    found = list(differences(resource.type, resource.properties, actual))
    if not found:
        return ok(name, resource.logical_id)
    what = f"{resource.logical_id} is not as it was deployed: {'; '.join(map(str, found))}"
    return wrong(name, what, restore(resource, found))


def _short(resource: Resource) -> str:
    """The name of a resource: of a queue and a topic without the URL or the ARN, of a policy that within its role."""
    match resource.type:
        case "AWS::SQS::Queue":
            return resource.physical_id.rpartition("/")[2]
        case "AWS::SNS::Topic":
            return resource.physical_id.rpartition(":")[2]
        case "AWS::IAM::Policy":
            return str(resource.properties.get("PolicyName", resource.physical_id))
    return resource.physical_id


def _deleted(state: DeploymentState, name: str, resource: Resource) -> Finding:
    state.reporter.reported.add(name)
    return wrong(name, f"{resource.logical_id} was deleted", recreate(resource))
