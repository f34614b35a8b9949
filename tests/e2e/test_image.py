"""The image's steps, run where nothing is but the files that the Dockerfile copies."""

import asyncio
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import SECRETS_KEY, free_port

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
ROLES = ("api", "dispatch", "record", "geofence")

pytestmark = pytest.mark.timeout(300)


def copied(text: str) -> list[tuple[list[str], str]]:
    """Return (sources, target) of each COPY from the context."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
    return [(words[:-1], words[-1]) for words in (line.split() for line in lines)]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that becomes /opt/webhooks, built from what is copied and from nothing else."""
    folder = tmp_path_factory.mktemp("image")
    source = folder / "src"
    for names, target in copied(DOCKERFILE.read_text()):
        for name in names:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, source / target, ignore=ignored)
            else:
                (source / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, source / target)
    code, out = asyncio.run(run("sh", "deploy/image.sh", str(folder / "opt"), cwd=source))
    assert code == 0, out
    yield folder / "opt"
    shutil.rmtree(folder)


async def run(*command: str, cwd: Path, seconds: float = 240, **extra: str) -> tuple[int, str]:
    """Run *command* in an environment as bare as a container's; return exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env={**bare(), **extra},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), seconds)
    assert process.returncode is not None
    return process.returncode, out.decode()


def bare() -> dict[str, str]:
    kept = {name: os.environ[name] for name in os.environ if name.lower().endswith("_proxy")}
    return {
        **kept,
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "PYTHON": sys.executable,
        "PIP_NO_CACHE_DIR": "0",
        "PIP_CACHE_DIR": str(Path.home() / ".cache" / "pip"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


async def test_the_image_has_all_that_a_role_needs_and_no_more(
    prefix: Path, kafka: str, database: str
) -> None:
    before = files(prefix)
    program = str(prefix / "bin" / "planner-webhooks")

    async def webhooks(*arguments: str, **extra: str) -> tuple[int, str]:
        return await run(program, *arguments, cwd=prefix, **extra)

    code, out = await webhooks("--help")
    assert code == 0, out
    roles = [role for role in ROLES if re.search(rf"^\W*{role} ", out, re.MULTILINE)]
    assert {"api", "dispatch"} <= set(roles), out

    reached = {"WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS": kafka, "WEBHOOKS_POSTGRES__DSN": database}
    code, out = await webhooks("migrate", **reached)
    assert code == 0, out
    code, out = await webhooks("migrate", "--check", **reached)
    assert (code, "missing" in out) == (0, False), out

    for role in roles:  # far enough to say what it waits for
        nowhere = f"127.0.0.1:{free_port()}"
        code, out = await webhooks(
            role,
            WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS=nowhere,
            WEBHOOKS_POSTGRES__DSN=f"postgresql://w@{nowhere}/webhooks",
            WEBHOOKS_SECRETS__KEY=SECRETS_KEY,
            WEBHOOKS_DISPATCH__START_TIMEOUT_SECONDS="2",
        )
        assert code == 3, out
        assert '"waiting"' in out, out
        assert "gave up waiting for Postgres" in out, out
        assert "Traceback" not in out, out
    assert files(prefix) == before, "the root file system is read-only"


def test_the_image_is_what_the_lock_file_says_without_what_tests_need_or_tools(
    prefix: Path,
) -> None:
    found = installed(prefix)
    locked = dict(
        line.split("==")
        for line in (ROOT / ".ci" / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    locked = {normal(name): version for name, version in locked.items()}
    own = found.pop("planner-webhooks")
    assert found == {name: locked.get(name) for name in found}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert own == project["version"]
    extras = {
        extra: {normal(re.split(r"[<>=\[]", line)[0]) for line in lines}
        for extra, lines in project["optional-dependencies"].items()
    }
    assert extras["otlp"] <= set(found)  # an operator may ask for traces, and installs nothing
    assert not (extras["dev"] | extras["test"] | {"pip", "setuptools"}) & set(found)


@pytest.mark.long
def test_the_same_sources_give_the_same_files(prefix: Path) -> None:
    first, kept = contents(prefix), prefix.with_name("first")
    prefix.rename(kept)
    source = prefix.with_name("src")
    code, out = asyncio.run(run("sh", "deploy/image.sh", str(prefix), cwd=source))
    second = contents(prefix)
    shutil.rmtree(prefix)
    kept.rename(prefix)
    assert code == 0, out
    assert first
    assert second == first


@pytest.mark.long
async def test_the_bill_of_materials_lists_every_package(prefix: Path) -> None:
    code, out = await run("sh", str(ROOT / "deploy" / "sbom.sh"), str(prefix), cwd=prefix)
    assert code == 0, out
    bill = json.loads((prefix / "sbom.cdx.json").read_text())
    listed = {normal(one["name"]): one["version"] for one in bill["components"]}
    found = installed(prefix)
    assert {name: listed.get(name) for name in found} == found
    assert bill["metadata"]["timestamp"].startswith("1980-")  # the same packages, the same file


def test_the_image_runs_as_nobody_in_particular() -> None:
    last = DOCKERFILE.read_text().rpartition("\nFROM ")[2]
    user = re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert user is not None
    assert int(user[1]) > 0
    assert "pip install" not in last
    assert "apt-get" not in last


def test_what_is_copied_is_not_kept_out_of_the_context() -> None:
    lines = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert let_in == {name for names, _ in copied(DOCKERFILE.read_text()) for name in names}


def installed(prefix: Path) -> dict[str, str]:
    (packages,) = prefix.glob("lib/python3*/site-packages")
    return {
        normal(one.metadata["Name"]): one.version
        for one in importlib.metadata.distributions(path=[str(packages)])
    }


def files(folder: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime for path in folder.rglob("*") if path.is_file()}


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "sbom.cdx.json"
    }


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
