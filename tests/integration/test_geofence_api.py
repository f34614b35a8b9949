"""`/v1/geofences`, on real Postgres: GeoJSON in and out, and what uses a geofence."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.api import ServedApi, an_api
from tests.support.databases import a_database
from tests.support.native import Caller, Json

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]

OURS = pytest_asyncio.fixture(loop_scope="module")
SQUARE = {
    "type": "Polygon",
    "coordinates": [[[2.09, 41.35], [2.23, 41.35], [2.23, 41.45], [2.09, 41.45], [2.09, 41.35]]],
}
CIRCLE = {"center": {"lat": 41.4, "lng": 2.17}, "radius_m": 500}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(
    embedded_kafka: str, embedded_postgres: str, template_database: str
) -> AsyncIterator[ServedApi]:
    async with (
        a_database(embedded_postgres, template=template_database) as dsn,
        an_api(embedded_kafka, dsn) as api,
    ):
        yield api


@OURS
async def owner(api: ServedApi) -> Caller:
    """Who has a key of a new project."""
    project, key = await api.new_project()
    return Caller(api.session, key, project, base=api.url)


@OURS
async def operator(api: ServedApi) -> Caller:
    return Caller(api.session, base=api.url)


async def fence(caller: Caller, **fields: object) -> Json:
    body = {"label": "Zone", "geometry": SQUARE, **fields}
    return (await caller("POST", "/v1/geofences", body, status=201)).json


async def test_a_geofence_reads_as_it_was_written(owner: Caller) -> None:
    answer = await owner(
        "POST",
        "/v1/geofences",
        {"label": "Low emission zone", "geometry": SQUARE, "color": "#3366ff"},
        status=201,
    )
    made = answer.json
    assert answer.headers["Location"] == f"/v1/geofences/{made['id']}"
    assert (made["geometry"], made["circle"], made["enabled"]) == (SQUARE, None, True)
    assert (made["origin"], made["color"], made["project_id"]) == ("api", "#3366ff", owner.project)
    read = await owner("GET", f"/v1/geofences/{made['id']}")
    assert (read.json, read.headers["ETag"]) == (made, '"1"')


async def test_all_faults_of_a_geofence_are_told_at_once(operator: Caller) -> None:
    body = {
        "lable": "x",
        "enabled": "yes",
        "color": 5,
        "circle": {"center": [2.17, 41.4], "radius_m": 0},
    }
    answer = await operator("POST", "/v1/geofences", body, status=422)
    assert sorted(answer.faults) == [
        ("/circle/center", "geo"),
        ("/circle/radius_m", "geo"),
        ("/color", "type"),
        ("/enabled", "type"),
        ("/label", "required"),
        ("/lable", "unknown_field"),
        ("/project_id", "required"),
    ]


async def test_a_change_is_a_merge_patch_that_honours_if_match(owner: Caller) -> None:
    path = f"/v1/geofences/{(await fence(owner))['id']}"
    patched = await owner("PATCH", path, {"geometry": None, "circle": CIRCLE}, If_Match='"1"')
    assert (patched.json["geometry"], patched.json["circle"]) == (None, CIRCLE)
    assert patched.headers["ETag"] == '"2"'
    await owner("PATCH", path, {"enabled": False}, If_Match='"1"', status=412)
    await owner("PATCH", path, {"circle": None}, status=422)
    assert (await owner("PATCH", path, {"label": "Zone"})).headers["ETag"] == '"2"'
    assert (await owner("PATCH", path, {"enabled": False})).json["enabled"] is False
    await owner("DELETE", path, If_Match='"1"', status=412)
    await owner("DELETE", path, status=204)
    await owner("DELETE", path, status=404)


async def test_what_is_well_outside_of_a_fence_is_its_own_or_as_configured(owner: Caller) -> None:
    made = await fence(owner, exit_buffer_m=12.5)
    path = f"/v1/geofences/{made['id']}"
    assert (await owner("GET", path)).json["exit_buffer_m"] == 12.5
    assert (await owner("PATCH", path, {"exit_buffer_m": 40})).json["exit_buffer_m"] == 40
    assert (await owner("PATCH", path, {"label": "x"})).json["exit_buffer_m"] == 40
    assert (await owner("PATCH", path, {"exit_buffer_m": None})).json["exit_buffer_m"] is None
    answer = await owner("PATCH", path, {"exit_buffer_m": -1}, status=422)
    assert [pointer for pointer, _ in answer.faults] == ["/exit_buffer_m"]
    assert (await fence(owner))["exit_buffer_m"] is None


async def test_a_list_goes_on_where_it_ended_newest_first(owner: Caller, operator: Caller) -> None:
    made = [(await fence(owner, label=str(n)))["id"] for n in range(3)]
    page = (await owner("GET", "/v1/geofences?limit=2")).json
    assert [row["id"] for row in page["data"]] == [made[2], made[1]]
    page = (await owner("GET", f"/v1/geofences?limit=2&cursor={page['next']}")).json
    assert ([row["id"] for row in page["data"]], page["next"]) == ([made[0]], None)
    of_project = (await operator("GET", f"/v1/geofences?project_id={owner.project}")).json
    assert len(of_project["data"]) == 3


async def test_nobody_sees_another_projects_geofences(api: ServedApi, owner: Caller) -> None:
    made = await fence(owner)
    project, key = await api.new_project()
    stranger = Caller(api.session, key, project, base=api.url)
    await stranger("GET", f"/v1/geofences/{made['id']}", status=404)
    await stranger("DELETE", f"/v1/geofences/{made['id']}", status=404)
    assert (await stranger("GET", "/v1/geofences")).json["data"] == []
    await stranger(
        "POST",
        "/v1/geofences",
        {"label": "x", "geometry": SQUARE, "project_id": owner.project},
        status=404,
    )


async def test_who_may_only_read_changes_nothing(api: ServedApi) -> None:
    project, key = await api.new_project("read")
    reader = Caller(api.session, key, project, base=api.url)
    await reader("GET", "/v1/geofences")
    await reader("POST", "/v1/geofences", {"label": "x", "geometry": SQUARE}, status=403)


async def test_the_order_of_bare_pairs_is_a_setting_of_the_project(operator: Caller) -> None:
    project = (await operator("POST", "/v1/projects", {"name": "x"})).json
    assert project["coordinate_order"] is None
    path = f"/v1/projects/{project['id']}"
    changed = (await operator("PATCH", path, {"coordinate_order": "lng_lat"})).json
    assert (changed["name"], changed["coordinate_order"]) == ("x", "lng_lat")
    answer = await operator("PATCH", path, {"coordinate_order": "latlng"}, status=422)
    assert answer.faults == [("/coordinate_order", "choice")]
