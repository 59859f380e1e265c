"""What a cloud assembly says: its stacks, their resources, and which of them are retained."""

import json
from pathlib import Path
from typing import Any

_METADATA = "AWS::CDK::Metadata"  # only in regions that CDK knows to have the type


def templates(folder: Path) -> dict[str, dict[str, Any]]:
    """The resources of each stack's template, by the stack's name."""
    return {
        path.name.removesuffix(".template.json"): json.loads(path.read_text())["Resources"]
        for path in folder.glob("*.template.json")
    }


def logical_ids(folder: Path) -> set[str]:
    """The logical IDs of the resources in any region."""
    return {logical_id for logical_id, resource in _all(folder).items() if resource["Type"] != _METADATA}


def retained(folder: Path) -> set[str]:
    """The logical IDs of the resources that are left when their stack is deleted."""
    return {
        logical_id
        for logical_id, resource in _all(folder).items()
        if resource.get("DeletionPolicy", "Delete") != "Delete"
    }


def _all(folder: Path) -> dict[str, Any]:
    return {logical_id: one for template in templates(folder).values() for logical_id, one in template.items()}
