"""The alarms of a pipeline, and the topic that they notify."""

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from infrastructure.alarm_rules import AlarmRule, alarm_rules
from infrastructure.queue_function import QueueFunction
from infrastructure.queues import Queues
from infrastructure.settings import Settings


class Alarms(Construct):
    """An alarm for each condition that needs a person. Each is on one metric: metric math is billed by the metric.

    They notify `topic`, if there is one, when they go off and when they are OK again. With a composite alarm in the
    settings, only that one notifies it. It is in the same stack: an alarm that another stack imports could not be
    deleted, so that no change of the settings that has fewer alarms could be deployed.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        queues: Queues,
        functions: Sequence[QueueFunction],
        invoke: QueueFunction,
    ) -> None:
        super().__init__(scope, construct_id)
        self.topic = _topic(self, settings)
        self.all = tuple(self._alarm(rule, settings) for rule in alarm_rules(settings, queues, functions, invoke))
        if settings.alarms.composite:
            self._composite(settings)

    def _composite(self, settings: Settings) -> None:
        composite = cloudwatch.CompositeAlarm(
            self,
            "NeedsAttention",
            alarm_rule=cloudwatch.AlarmRule.any_of(*self.all),
            alarm_description=f"{settings.deployment_name} needs attention. See which of its alarms are on; each says "
            "what it means and what to do.",
        )
        if self.topic is not None:
            _add_actions(composite, self.topic)

    def _alarm(self, rule: AlarmRule, settings: Settings) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            rule.name,
            metric=rule.metric,
            threshold=rule.threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=rule.periods,
            # An empty queue and a function that is not invoked have no data, and nothing is wrong then.
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=f"{settings.deployment_name}: {rule.text}",
        )
        if self.topic is not None and not settings.alarms.composite:
            _add_actions(alarm, self.topic)
        return alarm


def _add_actions(alarm: cloudwatch.AlarmBase, topic: sns.ITopic) -> None:
    action = actions.SnsAction(topic)
    alarm.add_alarm_action(action)
    alarm.add_ok_action(action)


def _topic(scope: Construct, settings: Settings) -> sns.ITopic | None:
    given, email = settings.alarms.topic, settings.alarms.email
    if isinstance(given, str):
        return sns.Topic.from_topic_arn(scope, "Topic", given)
    if not (given or email):
        return None
    topic = sns.Topic(scope, "Topic", display_name=f"{settings.deployment_name} alarms", enforce_ssl=True)
    # A topic policy replaces the default one, which allows the account's alarms to publish.
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            sid="AlarmsOfThisAccount",
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions={"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}},
        )
    )
    if email:
        sns.Subscription(scope, "Email", topic=topic, protocol=sns.SubscriptionProtocol.EMAIL, endpoint=email)
    return topic
