"""REST presents control: routes, bodies, statuses; no rules of its own.

    routes         every route of `/v1` in one table, with who may reach it
    app            the way of a request: route, key, body, idempotency, handler; how errors are answered
    call           a request as handlers see it, an answer as they return it; encode: JSON out
    once           a request with an `Idempotency-Key` is carried out once
    edge           what every answer carries, and how long a caller may take
    server         what aiohttp does before there is a request and after there is an answer, our way
    problems       what went wrong, as RFC 9457 problem+json

    projects, audit, portal, egress       `/v1`, one class of handlers per noun: tenants,
    subscriptions, secrets, backlog       webhooks,
    filters, geofences                    what they may ask for,
    events, journal, replays              the log in and out,
    history, again                        attempts and deliveries, and sending them again,
    lanes                                 and what operators look at

    planner        the Planner-compatible API, `/v2` and `/api/v1`, over the same control: it also reads
                   forms (planner_bodies) and has its own form of errors (planner_errors)
    inside         the same routes for pages of this process, without HTTP in between
    openapi        the document at /openapi.json, made from the routes and the catalogue
    asyncapi       the document at /asyncapi.json, made from the topics and the catalogue
    descriptions   serves both of them, /schemas/… and the page at /docs

A handler asks `control` and turns its errors into answers; it never decides.
"""
