"""The real dispatcher in a fake world, where everything goes wrong: nothing is lost, little repeats.

Each seed is a story of its own: which workers, receivers, bounds and faults, and what happens when.
A seed that fails prints its story and is replayed alone with `WEBHOOKS_TEST_SEED=123`.
"""

import os
from collections.abc import Iterator

import pytest
import structlog
from structlog.typing import EventDict, WrappedLogger

from services.feed.conform import Conformity
from services.feed.decode import Decoder
from tests.simulation.chaos import tell
from tests.simulation.scenario import Scenario
from tests.simulation.world import World
from tests.support.processes import run_with_processes

LONG = os.environ.get("WEBHOOKS_TEST_LONG") == "1"
SEED = os.environ.get("WEBHOOKS_TEST_SEED")
SEEDS = [int(SEED)] if SEED else range(2_000 if LONG else 150)
LINES = 250


class Stories:
    """Takes what the workers log into the story that is being told."""

    def __init__(self) -> None:
        self.world: World | None = None

    def __call__(self, _: WrappedLogger, method: str, fields: EventDict) -> EventDict:
        event = fields.pop("event")
        if self.world is not None:
            self.world.note(f"{method} {event} {fields}")
        raise structlog.DropEvent

    def run(self, seed: int) -> World:
        """Tell the story of *seed*."""

        async def main() -> World:
            self.world = world = World(Scenario.of(seed))
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


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_goes_wrong_nothing_is_lost_and_repeats_have_a_cause(
    seed: int, stories: Stories
) -> None:
    try:
        stories.run(seed)
    except BaseException:
        if stories.world is not None:
            story = stories.world.story
            print(*(story if SEED else story[-LINES:]), sep="\n")  # noqa: T201 - what failed
            print(stories.world.scenario)  # noqa: T201
        print(f"replay with WEBHOOKS_TEST_SEED={seed}")  # noqa: T201
        raise
