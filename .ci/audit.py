"""Known holes of the pinned packages, in a sentence. usage: audit.py PIP_AUDIT CONSTRAINTS

Ends with 1 where there are some, and where an index knows advisories of none of the packages: nothing was
looked at then, which is no good news. On a machine without a way to such an index that is a sentence
alone, unless REQUIRE_TOOLS=1 says that there has to be one.
"""

import json
import os
import subprocess
import sys
from typing import Any


def verdict(report: Any, *, required: bool) -> tuple[int, list[str]]:  # noqa: ANN401 - JSON
    """Return the exit code, and what to say of pip-audit's *report*."""
    packages = report["dependencies"]
    looked_at = [package for package in packages if "skip_reason" not in package]
    holes = [
        f"{package['name']} {package['version']}: {hole['id']}"
        + (f", mended in {', '.join(hole['fix_versions'])}" if hole["fix_versions"] else "")
        for package in looked_at
        for hole in package["vulns"]
    ]
    if not looked_at:
        return int(required), [
            f"NOT AUDITED: the package index gives no advisories, so none of {len(packages)} packages"
            " was looked at; run `make audit` where pypi.org can be reached"
        ]
    missed = len(packages) - len(looked_at)
    said = f"{len(holes)} known holes in {len(looked_at)} packages"
    if missed:
        said += f"; {missed} more could not be looked at"
    return int(bool(holes or (missed and required))), [*holes, said]


def main() -> int:
    """Ask, and say what came of it."""
    program, constraints = sys.argv[1:]
    arguments = ["--disable-pip", "--no-deps", "-r", constraints, "--format", "json"]
    done = subprocess.run(  # noqa: S603 - our own arguments
        [program, *arguments, "--progress-spinner", "off"], capture_output=True, check=False, text=True
    )
    required = os.environ.get("REQUIRE_TOOLS") == "1"
    try:
        code, lines = verdict(json.loads(done.stdout), required=required)
    except ValueError:  # it came to no report: no way to the index at all
        reason = done.stderr.strip().splitlines()[-1:] or ["pip-audit said nothing"]
        code, lines = int(required), [f"NOT AUDITED: no index of packages answers: {reason[0]}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
