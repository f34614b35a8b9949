#!/bin/sh
# Installs the service into a folder of its own: the wheel, and what .ci/constraints.txt pins, without
# pip, compilers or extras but that of traces. The same sources give the same files.
# usage, in the root of the sources: sh deploy/image.sh PREFIX
set -eu
prefix=$1
python=${PYTHON:-python3}
scratch=$prefix.wheel # no folder of chance: pip writes down where it had the wheel from
trap 'rm -rf "$scratch"' EXIT

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=${PIP_NO_CACHE_DIR:-1} PIP_ROOT_USER_ACTION=ignore
export PIP_CONSTRAINT="$PWD/.ci/constraints.txt" # of the build backend's packages, too
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-315532800}

"$python" -m pip wheel --quiet --no-deps --wheel-dir "$scratch" .
"$python" -m venv --without-pip "$prefix"
"$python" -m pip --python "$prefix/bin/python" install --quiet --no-compile --only-binary=:all: "$(echo "$scratch"/*.whl)[otlp]"

# Bytecode that doesn't carry the time of the build, and is never looked at again.
"$prefix/bin/python" -m compileall -q --invalidation-mode unchecked-hash "$prefix/lib"
