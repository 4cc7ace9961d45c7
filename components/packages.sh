#!/bin/sh
# Installs the packages of an image, apart from our own code, and lists them in its SBOM. Called by the Dockerfile:
#
#   sh packages.sh serving,neural          # groups of pyproject.toml
#   sh packages.sh "" /opt/dpkg            # none; and the package database of an image with more of Debian's packages
set -eu
everloop=/opt/everloop

touch README.md # pyproject.toml names it; the real one would make another layer of each edit
pip --python $everloop/bin/python install --only-deps ".${1:+[$1]}"
pip --python $everloop/bin/python check

# Compiled here, since the file system is read-only later; unchecked, so that a build tool may set all times to one.
# Some packages carry templates that are no Python: what cannot be compiled is left alone, as pip does.
python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash $everloop/lib >/dev/null || true

cyclonedx-py environment --pyproject pyproject.toml --mc-type application --spec-version 1.6 --output-reproducible \
  --output-format JSON $everloop/bin/python |
  python3 sbom.py "${2:-/var/lib/dpkg}" >$everloop/sbom.cdx.json
