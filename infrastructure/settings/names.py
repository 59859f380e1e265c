"""The names of the settings: all dotted ones, and the dotted ones that took the place of earlier flat ones."""

from pydantic import BaseModel
from pydantic.fields import FieldInfo

MOVED = {
    "memory_mb": "function.memory_mb",
    "log_level": "function.log_level",
    "transport": "function.transport",
    "snap_start": "function.snap_start",
    "read_timeout_seconds": "timeouts.read_seconds",
    "function_timeout_seconds": "timeouts.function_seconds",
    "visibility_timeout_seconds": "timeouts.visibility_seconds",
    "max_receive_count": "retry.max_receive_count",
    "retry_base_seconds": "retry.base_seconds",
    "retry_cap_seconds": "retry.cap_seconds",
    "request_retention_days": "retention.request_days",
    "dead_letter_retention_days": "retention.dead_letter_days",
    "noncurrent_version_days": "retention.noncurrent_version_days",
    "part_retention_days": "retention.part_days",
    "log_retention_days": "retention.log_days",
    "success_topic": "notifications.success_topic",
    "error_topic": "notifications.error_topic",
    "results_event_bridge": "notifications.event_bridge",
    "sender_accounts": "senders.account_ids",
    "sender_organization": "senders.organization_id",
    "vpc_subnet_ids": "network.subnet_ids",
    "security_group_ids": "network.security_group_ids",
    "alarm_topic": "alarms.topic",
    "alarm_email": "alarms.email",
    "alarm_age_minutes": "alarms.age_minutes",
    "alarm_backlog": "alarms.backlog",
    "alarm_failures": "alarms.failures",
    "health_alarm": "alarms.composite",
}
"""Each setting that was flat, and its place now. `alarms`, which was true or false, is `alarms.enabled` now."""


def fields(model: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    """Return the settings of `model` and of the groups in it, by dotted name, without the groups themselves."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            found |= fields(group, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = field
    return found
