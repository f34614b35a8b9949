"""The docstring of a package is its table of contents: whoever looks for a behaviour finds it there."""

import ast
import re
from pathlib import Path

import pytest

import services

ROOT = Path(services.__file__).parent
EXEMPT = {ROOT, ROOT / "dashboard" / "views"}
"""Where the docstring says by what rule modules are named, or names packages alone."""
PACKAGES = sorted({path.parent for path in ROOT.rglob("__init__.py")} - EXEMPT)


def named(package: Path) -> set[str]:
    """Return every word of the package's docstring."""
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    return set(re.findall(r"\w+", ast.get_docstring(tree) or ""))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_package_names_each_of_its_modules(package: Path) -> None:
    modules = {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}
    packages = {path.parent.name for path in package.glob("*/__init__.py")}
    assert (modules | packages) - named(package) == set()


def test_the_first_page_names_each_package() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - named(ROOT) == set()
