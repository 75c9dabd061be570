"""The bill of materials of a wheel (SBOM, CycloneDX 1.6), made from the lock files.

It depends on nothing else: the same locks, wheel and moment give the same bytes. It does not have
the licences of Python packages, since locks do not have them.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator
from packageurl import PackageURL

from locked_packages import Bundled, Locked, bundled, locked, merged

NAME = "dashboard-scraper"
REQUIRED = "requirements.txt"
# With every extra; Spark has its own lock because of its size.
LOCKS = (REQUIRED, "requirements-extras.txt", "requirements-spark.txt")


def bill_of_materials(root: Path, wheel: Path, version: str, moment: int) -> str:
    """The document as JSON, valid by CycloneDX's schema; otherwise raises ValueError."""
    bom = _bom(root, wheel, version, moment)
    outputter = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6)
    made: str = outputter.output_as_string(indent=2)
    broken = make_schemabased_validator(OutputFormat.JSON, SchemaVersion.V1_6).validate_str(made)
    if broken is not None:
        raise ValueError(f"the SBOM does not fit its schema: {broken}")
    return made + "\n"


def _bom(root: Path, wheel: Path, version: str, moment: int) -> Bom:
    main = _main_component(wheel, version)
    metadata = BomMetaData(component=main, timestamp=datetime.fromtimestamp(moment, UTC))
    bom = Bom(
        metadata=metadata,
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, str(main.purl)),
    )
    packages = merged(root / lock for lock in LOCKS)
    required = {package.name for package in locked(root / REQUIRED)}
    components = {
        (package.name, package.version): _locked_component(package, package.name in required)
        for package in packages
    }
    scripts = [_bundled_component(package) for package in bundled(root / "package-lock.json")]
    for component in (*components.values(), *scripts):
        bom.components.add(component)

    def needed_by(name: str) -> list[Component]:
        keys = [(p.name, p.version) for p in packages if name in p.needed_by]
        return [components[key] for key in keys]

    bom.register_dependency(main, [*needed_by(NAME), *scripts])
    for (name, _), component in components.items():
        bom.register_dependency(component, needed_by(name))
    return bom


def _main_component(wheel: Path, version: str) -> Component:
    """The wheel itself; not as a package of PyPI, where another project has its name."""
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    purl = PackageURL(
        "generic",
        name=NAME,
        version=version,
        qualifiers={"checksum": f"sha256:{sha256}", "file_name": wheel.name},
    )
    return Component(
        name=NAME,
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref=f"{NAME}@{version}",
        purl=purl,
        licenses=[DisjunctiveLicense(id="MIT")],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
    )


def _locked_component(package: Locked, required: bool) -> Component:
    """A package that is installed beside the wheel, with the hashes of all its files.

    They are properties, since a component's own hashes would be those of one file.
    """
    purl = PackageURL("pypi", name=package.name, version=package.version)
    properties = [Property(name="lock:sha256", value=digest) for digest in package.sha256]
    if package.marker:
        properties.append(Property(name="lock:marker", value=package.marker))
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        scope=ComponentScope.REQUIRED if required else ComponentScope.OPTIONAL,
        properties=properties,
    )


def _bundled_component(package: Bundled) -> Component:
    """A package whose code is in the report's page, as `make vendor` took it from npm."""
    group, _, name = package.name.rpartition("/")
    purl = PackageURL("npm", namespace=group or None, name=name, version=package.version)
    return Component(
        name=name,
        group=group or None,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        scope=ComponentScope.REQUIRED,
        licenses=[DisjunctiveLicense(id=package.licence)],
        hashes=[HashType(alg=HashAlgorithm.SHA_512, content=package.sha512)],
    )
