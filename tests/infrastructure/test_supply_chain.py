"""What goes into Lambda is known, checked against its hashes, and the same each time it is built."""

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from infrastructure import build, dependencies, sbom
from infrastructure.build import ROOT, BuildError
from infrastructure.code import code
from infrastructure.dependencies import LOCK, layer

PIN = re.compile(r"^([\w.-]+)==([\w.]+)", re.MULTILINE)


def pins(text: str) -> set[tuple[str, str]]:
    return {(name.lower().replace("_", "-"), version) for name, version in PIN.findall(text)}


def test_each_requirement_is_locked_with_hashes() -> None:
    locked = LOCK.read_text()
    assert pins(locked) == pins((ROOT / "lambdas/requirements.txt").read_text())
    for requirement in re.split(r"\n(?=\w)", locked.partition("\n")[2]):
        assert "--hash=sha256:" in requirement, requirement


def test_a_wheel_that_is_not_the_locked_one_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tampered = tmp_path / "requirements.lock"
    tampered.write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(dependencies, "LOCK", tampered)
    monkeypatch.setattr(build, "_CACHE", tmp_path / "cache")
    with pytest.raises(BuildError, match="HASHES"):
        layer("host")


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.glob("**/*") if path.is_file())
    return hashlib.sha256(
        b"".join(str(path.relative_to(folder)).encode() + hashlib.sha256(path.read_bytes()).digest() for path in files)
    ).hexdigest()


@pytest.mark.parametrize("what", [code, layer])
def test_the_same_inputs_give_the_same_bytes(
    what: Callable[[build.Target], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = digest(what("lambda"))
    monkeypatch.setattr(build, "_CACHE", tmp_path / "cache")
    assert digest(what("lambda")) == first


def test_the_bill_of_materials_is_of_what_is_locked() -> None:
    document = sbom.bom()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document) is None
    components = json.loads(document)["components"]
    named = {(one["name"].lower().replace("_", "-"), one["version"]) for one in components}
    assert named == pins(LOCK.read_text())
    assert all(one["licenses"] for one in components)
    assert all(one["purl"].startswith("pkg:pypi/") for one in components)


def test_licences_are_listed(tmp_path: Path) -> None:
    sbom.main(tmp_path)
    listed = (tmp_path / "licences.txt").read_text()
    assert "boto3 1.43" in listed
    assert "Apache-2.0" in listed
    assert "not stated" not in listed


def test_the_workflows_hold_to_zizmors_rules() -> None:
    """Actions pinned by SHA, least permissions, no credentials left behind, nothing injected."""
    zizmor = shutil.which("zizmor")
    assert zizmor
    done = subprocess.run(
        [zizmor, "--offline", "--persona", "auditor", "--no-progress", str(ROOT / ".github/workflows")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
