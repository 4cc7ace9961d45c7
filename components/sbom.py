"""Adds the base image's Debian packages to a CycloneDX list of Python packages. Runs while an image is built.

>>> cyclonedx-py environment --of JSON /opt/everloop/bin/python | python3 sbom.py /var/lib/dpkg >sbom.cdx.json

Only the standard library: nothing of ours is installed where this runs. Package URLs: github.com/package-url/purl-spec.
"""

import json
import subprocess
import sys
import urllib.parse
from typing import Any

Json = dict[str, Any]
ASKED = "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\n"


def main() -> None:
    document = json.load(sys.stdin)
    document["components"] = sorted(
        [*document.get("components", []), *map(component, debian_packages(sys.argv[1]))],
        key=lambda part: str(part["bom-ref"]),
    )
    json.dump(document, sys.stdout, indent=1, sort_keys=True, ensure_ascii=False)


def debian_packages(database: str) -> list[tuple[str, str, str]]:
    """Name, version, architecture of each that is installed; none where the base is no Debian."""
    command = ["dpkg-query", f"--admindir={database}", "-W", "-f", ASKED]
    try:
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return []
    rows = (line.split("\t") for line in listed.splitlines())
    return [(name, version, machine) for status, name, version, machine in rows if status == "installed"]


def component(package: tuple[str, str, str]) -> Json:
    name, version, machine = package
    purl = f"pkg:deb/debian/{urllib.parse.quote(name)}@{urllib.parse.quote(version, safe='')}?arch={machine}"
    return {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}


if __name__ == "__main__":
    main()
