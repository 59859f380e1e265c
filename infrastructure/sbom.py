"""A CycloneDX SBOM and a list of licences, for audits of the dependencies that are uploaded to Lambda.

`make sbom` writes both, from the content of the layer.
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
    """Return the distributions in Lambda's layer, by name. Raises `BuildError` when the layer can't be built."""
    return sorted(distributions(path=[str(layer("lambda") / "python")]), key=lambda package: package.name.lower())


def licence(package: Distribution) -> str:
    """Return the licence in a package's metadata: its SPDX expression, or the text of the older fields."""
    metadata = package.metadata
    prefix = "License :: OSI Approved :: "
    classifiers: list[str] = [line for line in metadata.get_all("Classifier") or [] if line.startswith(prefix)]
    stated: str = next(iter(metadata.get_all("License-Expression") or metadata.get_all("License") or ["not stated"]))
    if len(classifiers) > 1:  # the field says "Dual License" or the like
        return " or ".join(line.removeprefix(prefix) for line in classifiers)
    return stated.splitlines()[0]


def bom() -> str:
    """Return the SBOM of the layer as CycloneDX JSON."""
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
