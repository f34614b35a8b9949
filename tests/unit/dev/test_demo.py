"""What fails in the demo, on purpose."""

from itertools import pairwise

from services.dev.demo import EVERY_SECONDS, WEBHOOKS
from services.match.types import selected

ANSWERS = {webhook.path: webhook.answer for webhook in WEBHOOKS}
CANCELED = {"planner-event-type": "stop.report.canceled"}


def test_one_takes_everything_whatever_the_others_do() -> None:
    assert {ANSWERS["/demo"](CANCELED, seconds).status for seconds in range(200)} == {200}


def test_the_erp_refuses_canceled_stops_with_a_reason_until_a_person_resends_them() -> None:
    answer = ANSWERS["/erp"]
    refused = answer({**CANCELED, "planner-attempt": "3"}, 0.0)
    assert refused.status == 422
    assert "customer_absent" in refused.text
    assert answer({**CANCELED, "planner-replay": "61f0a446c97efa37d4831111"}, 0.0).status == 200
    assert answer({"planner-event-type": "stop.report.completed"}, 0.0).status == 200


def test_the_wall_screen_is_down_within_the_first_minute_and_comes_back() -> None:
    spell = [ANSWERS["/wall"]({}, float(second)).status for second in range(int(EVERY_SECONDS))]
    assert spell[0] == spell[-1] == 200
    assert 500 in spell[:30]
    changes = sum(before != after for before, after in pairwise(spell))
    assert changes == 2, "one outage in each spell, so that it is seen to catch up"


def test_who_fails_is_told_of_little_so_that_lines_stay_readable() -> None:
    for webhook in WEBHOOKS[1:]:
        assert "vehicle.position" not in {
            type_ for pattern in webhook.types for type_ in selected(pattern)
        }
