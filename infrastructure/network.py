"""The VPC that the functions run in, if there is one."""

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import Annotations, ArnFormat, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infrastructure.errors import SettingsError
from infrastructure.settings import Settings


@dataclass(frozen=True)
class Network:
    """The IDs of the functions' subnets and security groups."""

    subnet_ids: Sequence[str]
    security_group_ids: Sequence[str]

    def attach(self, function: lambda_.Function) -> None:
        """Attach `function` to this network, with the L1 property: the L2 property needs a VPC, not only IDs."""
        resource = function.node.default_child
        assert isinstance(resource, lambda_.CfnFunction)  # noqa: S101 - tells the type checker what CDK promises
        resource.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
            subnet_ids=list(self.subnet_ids), security_group_ids=list(self.security_group_ids)
        )


def choose_network(
    scope: Construct,
    settings: Settings,
    *,
    vpc: ec2.IVpc | None,
    subnets: Sequence[ec2.ISubnet] | None,
    security_groups: Sequence[ec2.ISecurityGroup] | None,
) -> Network | None:
    """Return the network of the given resources, or the one in the settings, or None.

    A VPC without security groups gets a new one that allows all outbound and no inbound traffic.

    Raises `SettingsError` when both are given, when `vpc` is missing, and for public subnets, where a function has no
    public IP address and so no internet access.
    """
    if vpc is None:
        if subnets is not None or security_groups is not None:
            raise SettingsError("vpc: is missing; subnets and security_groups belong to a VPC")
        if settings.network.subnet_ids:
            return Network(settings.network.subnet_ids, settings.network.security_group_ids)
        return None
    if settings.network.subnet_ids:
        raise SettingsError("sluice.network: leave it out where the construct gets a vpc")
    selected = vpc.select_subnets(subnets=subnets)
    if selected.has_public:
        raise SettingsError("subnets: are public, where functions have no internet access; choose private ones")
    if {subnet.subnet_id for subnet in vpc.isolated_subnets} & set(selected.subnet_ids):
        Annotations.of(scope).add_info(
            "the functions are in subnets without a NAT gateway, so that the VPC needs these VPC endpoints: "
            + ", ".join(vpc_endpoints(settings))
        )
    groups = security_groups or [
        ec2.SecurityGroup(scope, "SecurityGroup", vpc=vpc, description="Functions of a Sluice pipeline")
    ]
    return Network(selected.subnet_ids, [group.security_group_id for group in groups])


def vpc_endpoints(settings: Settings) -> list[str]:
    """Return the VPC endpoints without which functions in subnets without a NAT gateway reach none of these services.

    Lambda itself writes the functions' logs, with the metrics in them, and their traces. That takes no way through the
    VPC. S3 and SQS call KMS themselves.
    """
    topics = ["sns"] if settings.notifications.topics else []
    return ["s3 (gateway)", "sagemaker.runtime", "sqs", *topics]


def network_statements(scope: Construct) -> list[iam.PolicyStatement]:
    """Return the permissions with which Lambda manages a function's network interfaces, denied to the function's code.

    They are the actions of AWSLambdaVPCAccessExecutionRole. The resources of most are not known before deployment.
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
        # This condition key is present only when the function's code calls, not when Lambda does (Lambda Developer
        # Guide, "Giving Lambda functions access to resources in an Amazon VPC").
        iam.PolicyStatement(
            sid="LeaveTheNetworkToLambda",
            effect=iam.Effect.DENY,
            actions=actions,
            resources=["*"],
            conditions={"ArnLike": {"lambda:SourceFunctionArn": functions}},
        ),
    ]
