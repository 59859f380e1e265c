"""The VPC that the functions run in, if any."""

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infrastructure.errors import SettingsError
from infrastructure.settings import Settings


@dataclass(frozen=True)
class Network:
    """Subnets and security groups of functions, by ID."""

    subnet_ids: Sequence[str]
    security_group_ids: Sequence[str]

    def join(self, function: lambda_.Function) -> None:
        """Put `function` in. On the L1 resource: the L2 property wants a whole VPC, which settings don't know."""
        resource = function.node.default_child
        assert isinstance(resource, lambda_.CfnFunction)  # noqa: S101 - tells the type checker what CDK promises
        resource.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
            subnet_ids=list(self.subnet_ids), security_group_ids=list(self.security_group_ids)
        )


def network_of(
    scope: Construct,
    settings: Settings,
    *,
    vpc: ec2.IVpc | None,
    subnets: Sequence[ec2.ISubnet] | None,
    security_groups: Sequence[ec2.ISecurityGroup] | None,
) -> Network | None:
    """The network of the resources given, or of the settings, or None.

    A VPC without security groups gets one that lets everything out and nothing in. Raises `SettingsError` when both or
    half of one are given, and for public subnets, from which a function reaches nothing.
    """
    if vpc is None:
        if subnets is not None or security_groups is not None:
            raise SettingsError("vpc: is missing; subnets and security_groups are of a VPC")
        if settings.vpc_subnet_ids:
            return Network(settings.vpc_subnet_ids, settings.security_group_ids)
        return None
    if settings.vpc_subnet_ids:
        raise SettingsError("sluice.vpc_subnet_ids: leave it out where the construct gets a vpc")
    selected = vpc.select_subnets(subnets=subnets)
    if selected.has_public:
        raise SettingsError("subnets: are public, where functions get no way out; choose private ones")
    groups = security_groups or [
        ec2.SecurityGroup(scope, "SecurityGroup", vpc=vpc, description="Functions of a Sluice pipeline")
    ]
    return Network(selected.subnet_ids, [group.security_group_id for group in groups])


def statements(scope: Construct) -> list[iam.PolicyStatement]:
    """What Lambda needs of a function's role to make its network interfaces, and what its code needn't.

    The actions of AWSLambdaVPCAccessExecutionRole; EC2 lets most of them be narrowed to nothing that is known before.
    """
    actions = [
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
    ]
    functions = Stack.of(scope).format_arn(
        service="lambda", resource="function", resource_name="*", arn_format=ArnFormat.COLON_RESOURCE_NAME
    )
    return [
        iam.PolicyStatement(sid="JoinNetwork", actions=actions, resources=["*"]),
        # This key is there only when the function's own code calls, never when Lambda does (Lambda's VPC page).
        iam.PolicyStatement(
            sid="LeaveTheNetworkToLambda",
            effect=iam.Effect.DENY,
            actions=actions,
            resources=["*"],
            conditions={"ArnLike": {"lambda:SourceFunctionArn": functions}},
        ),
    ]
