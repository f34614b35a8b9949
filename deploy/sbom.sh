#!/bin/sh
# Lists what lies in a folder that image.sh made, as CycloneDX: PREFIX/sbom.cdx.json. The same packages give
# the same file.
# usage: sh deploy/sbom.sh PREFIX
set -eu
prefix=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

export PIP_DISABLE_PIP_VERSION_CHECK=1 SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-315532800}
"${PYTHON:-python3}" -m venv "$scratch"
"$scratch/bin/python" -m pip install --quiet cyclonedx-bom==7.5.0
"$scratch/bin/cyclonedx-py" environment --output-reproducible --output-format JSON \
  --output-file "$prefix/sbom.cdx.json" "$prefix/bin/python"
