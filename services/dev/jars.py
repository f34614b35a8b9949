"""Apache Kafka's jars: from Maven Central, once per user, with visible progress.

They lie in a folder of our own, never in ~/.m2: a download that is cut off leaves half a file
behind, and there every Java program of the user would trip over it. Here it is found and fetched
anew.
"""

import fcntl
import os
import shutil
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.dev.process import ServerError

VERSION = "4.2.0"
COORDINATES = f"org.apache.kafka:kafka_2.13:{VERSION}+org.apache.kafka:kafka-tools:{VERSION}"
"""The broker, and the command-line tools that people run against it."""
EXPECTED_JARS = 92
TELL_SECONDS = 2.0


def cache_folder() -> Path:
    """Return where the jars are kept for this user."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "planner-webhooks" / f"kafka-{VERSION}"


def class_path() -> str:
    """Return the class path of broker and tools, fetching the jars on first use.

    Blocks, for a minute at worst: call it in a thread. Raises ServerError.
    """
    folder = cache_folder()
    listed = folder / "classpath"
    found = _listed(listed)
    if found is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "lock").open("w") as lock:
                _wait_for(lock.fileno())  # several that start at once fetch once
                found = _listed(listed) or _fetch(folder, listed)
        except OSError as error:
            raise ServerError(f"{folder} can't hold Kafka's jars: {error.strerror}") from error
    return found


def _listed(listed: Path) -> str | None:
    try:
        found = listed.read_text()
    except OSError:
        return None
    return found if all(Path(jar).exists() for jar in found.split(":")) else None


def _wait_for(lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say(f"Waiting for another process that fetches Apache Kafka {VERSION}")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _fetch(folder: Path, listed: Path) -> str:
    repository = folder / "repository"
    _discard_torn(repository)
    shutil.rmtree(folder / "environment", ignore_errors=True)
    with _progress(repository):
        try:
            jars = _resolve(repository, folder / "environment")
        # Whatever the resolver's parts raise: the network, XML (a SyntaxError), itself.
        except (OSError, RuntimeError, ValueError, SyntaxError, AssertionError) as error:
            raise ServerError(
                f"Apache Kafka {VERSION} can't be fetched from Maven Central: {error}. Check the"
                " network and start again: what was fetched is kept"
            ) from error
    if not jars:
        raise ServerError(f"Apache Kafka {VERSION} can't be fetched: Maven Central gave no jars")
    fresh = listed.with_suffix(".new")
    fresh.write_text(":".join(jars))
    fresh.replace(listed)  # whole or not there: others look without the lock
    return listed.read_text()


def _resolve(repository: Path, environment: Path) -> list[str]:
    # Slow to import, and part of the `dev` extra alone.
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
    from jgo.env import EnvironmentBuilder  # noqa: PLC0415
    from jgo.maven import MavenContext  # noqa: PLC0415

    context = MavenContext(repo_cache=repository, remote_repos={"central": MAVEN_CENTRAL_URL})
    built = EnvironmentBuilder(context=context, cache_dir=environment).from_endpoint(COORDINATES)
    return sorted(str(jar) for jar in Path(built.path).rglob("*.jar"))


def _discard_torn(repository: Path) -> None:
    """Remove what an earlier fetch, cut off, left half-written."""
    for jar in repository.rglob("*.jar"):
        if not zipfile.is_zipfile(jar):
            jar.unlink()
    for pom in repository.rglob("*.pom"):
        if not pom.read_bytes().rstrip().endswith(b"</project>"):
            pom.unlink()


@contextmanager
def _progress(repository: Path) -> Iterator[None]:
    """Say every few seconds how many jars there are, while the context lasts."""
    done = threading.Event()
    began = time.perf_counter()

    def tell() -> None:
        while not done.wait(TELL_SECONDS):
            count = sum(1 for _ in repository.rglob("*.jar"))
            _say(f"  {count} of {EXPECTED_JARS} jars, {time.perf_counter() - began:.0f} s")

    _say(f"Fetching Apache Kafka {VERSION} from Maven Central, once per user (56 MB)")
    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
