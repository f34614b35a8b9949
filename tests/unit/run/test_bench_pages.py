"""What `bench pages` asks for: each page that there is, also one that is new."""

from services.kernel.event import Partition, Position
from services.run.bench_pages import FILTERED, every_page, filled, known
from services.run.month import Sample

SAMPLE = Sample("61f0a446c97efa37d4831020", Position(Partition("planner.events", 3), 7))


def test_every_page_of_the_dashboard_can_be_asked_for() -> None:
    names = known(SAMPLE, replay="a" * 24, dry_run="b" * 24)
    paths = {page: filled(page, names) for page in [*every_page(), *FILTERED]}
    assert not [path for path in paths.values() if "{" in path]
    assert paths["/events/{topic}/{partition}/{offset}"] == "/events/planner.events/3/7"
    assert paths["/replays/{id}"] == f"/replays/{'a' * 24}"
    assert len(paths) > 35
