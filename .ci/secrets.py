"""Finds what looks like a secret in the files that git knows; made-up ones of the tests are let be."""

import re
import subprocess
import sys
from pathlib import Path

PATTERNS = {
    "a private key": rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s*[A-Za-z0-9+/=\s]{100}",
    "an AWS key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a GitHub token": rb"\bgh[pousr]_[A-Za-z0-9]{36}\b",
    "a Slack token": rb"\bxox[abpr]-[0-9A-Za-z-]{20,}",
    "a Google key": rb"\bAIza[0-9A-Za-z_-]{35}\b",
    "a signing secret": rb"\bwhsec_[A-Za-z0-9+/]{32,}={0,2}",
    "an API key": rb"\bpriv_[A-Za-z0-9_-]{32,}",
    "a password in a URL": rb"\b[a-z]+://[^\s/:@'\"{}<$]+:(?!password@)[^\s/:@'\"{}<$]{8,}@",
}
MADE_UP = (b"tests/", b"schemas/")
"""Folders whose signing secrets, keys and passwords are vectors and examples."""
NEWLINE = b"\n"
OF_OURS = ("a signing secret", "an API key", "a password in a URL")


def main() -> int:
    """Print each finding with its place; return the exit code."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout  # noqa: S607
    found = []
    for name in filter(None, listed.split(b"\0")):
        path = Path(name.decode())
        text = path.read_bytes() if path.is_file() else b""
        for what, pattern in PATTERNS.items():
            if name.startswith(MADE_UP) and what in OF_OURS:
                continue
            found += [
                f"{path}:{text.count(NEWLINE, 0, match.start()) + 1}: {what}"
                for match in re.finditer(pattern, text)
            ]
    print("\n".join(found) if found else "no secret in what git knows")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
