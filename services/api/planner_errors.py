"""What went wrong, as the Planner's clients read it: always `{"message": …, "messageId": …}`."""

from aiohttp import web

from services.api.encode import encoded
from services.api.problems import Problem
from services.control.access import UnauthorizedError
from services.deliver.addresses import HTTP_SETTING
from services.kernel.errors import Fault, FaultsError, NotFoundError

NAMES = {"types": "enabled_events", "type": "event_type"}
"""Fields that are called otherwise here."""

STATUS = {422: 400, 412: 409}
"""Statuses that these clients don't know, and what they get instead."""

MESSAGE_IDS = {
    401: "auth.unauthorized",
    403: "auth.unauthorized",
    413: "request.too_large",
    429: "rate.limited",
    500: "internal",
    503: "internal",
}


def refused(error: Exception, problem: Problem) -> web.Response:
    """Return the answer to a refused request."""
    match error:
        case FaultsError():
            message = "; ".join(map(_sentence, error.faults))
            message_id = _of_fault(error.faults[0])
        case NotFoundError():
            noun = "webhook" if error.noun == "subscription" else error.noun
            message = str(error).replace(error.noun, noun, 1)
            message_id = f"{noun}.not_found"
        case UnauthorizedError():
            message = "no valid key: send ?private_key=… or Authorization: Bearer …"
            message_id = MESSAGE_IDS[401]
        case _:
            message = f"{problem.title}: {problem.detail}"
            message_id = MESSAGE_IDS.get(problem.status, "request.invalid")
    return web.Response(
        status=STATUS.get(problem.status, problem.status),
        headers={**problem.headers, "Content-Type": "application/json"},
        body=encoded({"message": message, "messageId": message_id}),
    )


def _sentence(fault: Fault) -> str:
    """Return the fault with its place, in the words of this API."""
    field = _field(fault)
    name = NAMES.get(field, field)
    if fault.message.startswith(f"{field} "):
        return name + fault.message.removeprefix(field)
    place = ""
    for step in (fault.pointer or "").split("/")[1:]:
        place += f"[{step}]" if step.isdigit() else ("." if place else "") + NAMES.get(step, step)
    return f"{place or name}: {fault.message}" if place or name else fault.message


def _of_fault(fault: Fault) -> str:
    match _field(fault), fault.code:
        case "url", "refused_address":
            return "webhook.url_refused"
        case "url", "scheme" if HTTP_SETTING in fault.message:
            return "webhook.url_refused"
        case "url", _:
            return "webhook.url_invalid"
        case "types", "required":
            return "webhook.events_required"
        case "types" | "type", "unknown_type":
            return "webhook.event_unknown"
        case _:
            return "request.invalid"


def _field(fault: Fault) -> str:
    """Return the name of the field at fault; in an array of webhooks it stands after the number."""
    steps = (fault.pointer or "").split("/")[1:]
    return next((step for step in steps if not step.isdigit()), fault.parameter or "")
