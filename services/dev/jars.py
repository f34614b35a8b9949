"""Apache Kafka's jars: from Maven Central, once per user, with visible progress."""

import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.dev.process import ServerError

VERSION = "4.2.0"
COORDINATES = f"org.apache.kafka:kafka_2.13:{VERSION}+org.apache.kafka:kafka-tools:{VERSION}"


def cache_folder() -> Path:
    """Return where the jars are kept for this user."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "planner-webhooks" / f"kafka-{VERSION}"


def class_path() -> str:
    """Return the class path of the broker and its tools, fetching the jars on first use."""
    folder = cache_folder()
    listed = folder / "classpath"
    found = _listed(listed)
    if found is None:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several that start at once fetch once
            found = _listed(listed) or _fetch(folder, listed)
    return found


def _listed(listed: Path) -> str | None:
    try:
        found = listed.read_text()
    except OSError:
        return None
    return found if all(Path(jar).exists() for jar in found.split(":")) else None


def _fetch(folder: Path, listed: Path) -> str:
    import jgo  # noqa: PLC0415 - slow to import, and part of the `dev` extra alone

    with _progress(folder):
        try:
            environment = jgo.build(COORDINATES, cache_dir=folder / "environment")
            jars = sorted(str(jar) for jar in Path(environment.path).rglob("*.jar"))
        except Exception as error:  # noqa: BLE001 - whatever it raises, the person needs one sentence
            raise ServerError(
                f"Apache Kafka {VERSION} can't be fetched from Maven Central: {error}. Check the"
                " network and start again; what was fetched is kept"
            ) from error
    if not jars:
        raise ServerError(f"Apache Kafka {VERSION}: Maven Central gave no jars")
    listed.write_text(":".join(jars))
    return listed.read_text()


@contextmanager
def _progress(folder: Path) -> Iterator[None]:
    """Say every second how many jars there are, while the context lasts."""
    done = threading.Event()
    began = time.perf_counter()

    def tell() -> None:
        while not done.wait(1.0):
            count = sum(1 for _ in folder.rglob("*.jar"))
            text = f"{count} jars, {time.perf_counter() - began:.0f} s"
            ending = "\r" if sys.stderr.isatty() else "\n"
            print(f"  {text}", end=ending, file=sys.stderr, flush=True)

    print(
        f"Fetching Apache Kafka {VERSION} from Maven Central, once per user, into {folder}",
        file=sys.stderr,
        flush=True,
    )
    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
