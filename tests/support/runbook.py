"""What the runbook says to type, as it is written there."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return its blocks of this language."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", TEXT, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def calls(program: str) -> list[list[str]]:
    """Return the arguments of each call of *program* in the one block of commands that has it."""
    (block,) = [text for text in blocks("sh") if re.search(rf"^ *{program} ", text, re.MULTILINE)]
    told = f"{program}() {{ printf '%s\\t' \"$@\"; echo; }}\n{block}"
    done = subprocess.run(  # noqa: S603 - our own runbook
        ["bash", "-euc", told],  # noqa: S607 - whichever bash there is
        capture_output=True, text=True, check=True, timeout=10,
    )  # fmt: skip
    return [line.split("\t")[:-1] for line in done.stdout.splitlines()]
