"""Stories of the simulation, one seed each."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog
from structlog.typing import EventDict, WrappedLogger

from services.feed.conform import Conformity
from services.feed.decode import Decoder
from tests.simulation.chaos import tell
from tests.simulation.scenario import Fault, Kind, Scenario
from tests.simulation.world import World
from tests.support.processes import run_with_processes


class Stories:
    """Takes what the workers log into the story that is being told."""

    def __init__(self) -> None:
        self.world: World | None = None

    def __call__(self, _: WrappedLogger, method: str, fields: EventDict) -> EventDict:
        event = fields.pop("event")
        if self.world is not None:
            self.world.note(f"{method} {event} {fields}")
        raise structlog.DropEvent

    def run(self, seed: int, faults: tuple[Fault, ...] = ()) -> World:
        """Tell the story of *seed*, with its own faults where none are named."""
        scenario = Scenario.of(seed)
        if faults:
            scenario = replace(scenario, kind=Kind.EVERYTHING, faults=faults)

        async def main() -> World:
            self.world = world = World(scenario)
            await tell(world)
            return world

        return run_with_processes(main())


@pytest.fixture
def stories() -> Iterator[Stories]:
    Conformity(), Decoder(max_bytes=1)  # read the catalogue, once per process
    stories = Stories()
    before = structlog.get_config()
    structlog.configure(processors=[stories], cache_logger_on_first_use=False)
    yield stories
    structlog.configure(**before)
