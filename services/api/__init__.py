"""REST presents control: routes, bodies, statuses; no rule of its own.

app            every route in one table, and how a request goes through
call           a request as handlers see it: caller, parameters, body
encode         JSON out
problems       what went wrong, as RFC 9457 problem+json
auth           the key of a request
projects, subscriptions, events, geofences, filters, portal, …: the native API, `/v1`
planner, planner_bodies, planner_errors: the Planner-compatible API, `/v2` and `/api/v1`, over the
               same control; it reads forms too, and its errors look different
inside         the same routes for pages of this process, without HTTP between
openapi        the document at /openapi.json, made from the routes and the catalogue
asyncapi       the document at /asyncapi.json, made from the topics and the catalogue
descriptions   both of them, /schemas/… and the page at /docs
"""
