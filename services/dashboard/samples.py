"""Receivers that verify signatures, as they lie in `deploy/receivers`, filled for one webhook."""

from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

SECRET = "whsec_…"  # noqa: S105 - what stands in its place
PUBLIC = "whpk_…"


class Sample(NamedTuple):
    """One file."""

    name: str
    language: str
    file: str
    run: str
    """How it is started."""
    public: bool = True
    """Whether it verifies ed25519 too."""


class Filled(NamedTuple):
    """What to type, and the file."""

    command: str
    text: str


SAMPLES = (
    Sample("python", "Python", "python/receiver.py", "python receiver.py", public=False),
    Sample("aiohttp", "Python, aiohttp", "python/aiohttp_receiver.py", "python aiohttp_receiver.py"),
    Sample(
        "fastapi", "Python, FastAPI", "python/fastapi_receiver.py", "python fastapi_receiver.py",
        public=False,
    ),
    Sample("node", "Node", "node/receiver.mjs", "node receiver.mjs"),
    Sample("express", "Node, Express", "node/express.mjs", "node express.mjs", public=False),
    Sample("php", "PHP", "php/receiver.php", "php -S 127.0.0.1:8000 receiver.php"),
    Sample("ruby", "Ruby", "ruby/config.ru", "rackup --port 8000"),
    Sample("go", "Go", "go/receiver.go", "go run receiver.go"),
    Sample("java", "Java", "java/Receiver.java", "java Receiver.java"),
    Sample("csharp", "C#", "csharp/Program.cs", "dotnet run", public=False),
)  # fmt: skip


def samples() -> tuple[Sample, ...]:
    """Return all of them."""
    return SAMPLES


def filled(sample: Sample, *, url: str, public: bool, secret: str | None = None) -> Filled:
    """Return a sample with the path of *url*; the secret where it is known, which is only once."""
    shown = secret or (PUBLIC if public else SECRET)
    command = f"WEBHOOK_SECRET={shown} PORT=8000 {sample.run}"
    path = urlsplit(url).path or "/"
    return Filled(f"# for {url}\n{command}\n# answers POST {path}", text(sample.file))


@cache
def text(file: str) -> str:
    """Return the file: of the wheel, or of the repository that this is run from."""
    packed = resources.files("services.dashboard").joinpath("receivers", *file.split("/"))
    if packed.is_file():
        return packed.read_text(encoding="utf-8")
    beside = Path(__file__).parents[2] / "deploy" / "receivers" / file
    return beside.read_text(encoding="utf-8")
