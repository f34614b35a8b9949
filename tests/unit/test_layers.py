"""Every module can be imported by itself: none needs another to have been imported before it."""

import subprocess
import sys

import pytest

PARTS = 6
"""Each module loads all that it needs anew: in one go they take as long as a test may."""

EACH_ALONE = """
import importlib, pkgutil, sys

from prometheus_client import REGISTRY

import services

names = [
    module.name
    for module in pkgutil.walk_packages(services.__path__, "services.")
    if module.name != "services.__main__"
]
print(len(names))
first, step = map(int, sys.argv[1:])
for name in names[first::step]:
    for loaded in [key for key in sys.modules if key.partition(".")[0] == "services"]:
        del sys.modules[loaded]
    for collector in list(REGISTRY._collector_to_names):
        REGISTRY.unregister(collector)
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
"""


@pytest.mark.timeout(120)  # a busy machine takes long for that many imports
@pytest.mark.parametrize("part", range(PARTS))
def test_every_module_can_be_imported_alone(part: int) -> None:
    done = subprocess.run(  # noqa: S603 - our own text
        [sys.executable, "-W", "error", "-c", EACH_ALONE, str(part), str(PARTS)],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    count, *faults = done.stdout.splitlines()
    assert (done.returncode, done.stderr, faults) == (0, "", [])
    assert int(count) > 80
