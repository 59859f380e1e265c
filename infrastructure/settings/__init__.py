"""Deployment settings: the object `sluice` in the context of cdk.json, typed and checked."""

from infrastructure.errors import SettingsError
from infrastructure.settings.model import Settings

__all__ = ["Settings", "SettingsError"]
