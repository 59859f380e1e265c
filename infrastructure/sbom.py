"""What goes into Lambda beside our own code, for auditors: a CycloneDX SBOM, and a list of licences.

`make sbom` writes both, from the layer that is uploaded.
"""

import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from infrastructure.dependencies import layer


def packages() -> list[Distribution]:
    """The distributions in Lambda's layer, by name. Raises `BuildError` when it can't be built."""
    return sorted(distributions(path=[str(layer("lambda") / "python")]), key=lambda one: one.name.lower())


def licence(package: Distribution) -> str:
    """The licence that a package states: its SPDX expression, else the words of its older fields."""
    metadata = package.metadata
    trove = [one for one in metadata.get_all("Classifier") or [] if one.startswith("License :: OSI Approved :: ")]
    (stated, *_) = metadata.get_all("License-Expression") or metadata.get_all("License") or ["not stated"]
    # "Dual License" and the like: the classifiers say of which.
    return " or ".join(one.rpartition(" :: ")[2] for one in trove) if len(trove) > 1 else stated.splitlines()[0]


def bom() -> str:
    """The layer's SBOM, as CycloneDX JSON."""
    licences = LicenseFactory()
    components = [
        Component(
            type=ComponentType.LIBRARY,
            name=package.name,
            version=package.version,
            purl=PackageURL("pypi", name=package.name.lower().replace("_", "-"), version=package.version),
            licenses=[licences.make_from_string(licence(package))],
        )
        for package in packages()
    ]
    return make_outputter(Bom(components=components), OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)


def main(directory: Path) -> None:
    """Write `sbom.cdx.json` and `licences.txt` into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "sbom.cdx.json").write_text(bom() + "\n")
    rows = [f"{package.name} {package.version}: {licence(package)}" for package in packages()]
    (directory / "licences.txt").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
