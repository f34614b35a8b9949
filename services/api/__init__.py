"""REST presents control: routes, bodies, statuses; no rule of its own.

    routes         every route of `/v1` in one table, with who reaches it
    app            how a request goes: route, key, body, idempotency, handler; every error's answer
    call           a request as handlers see it, an answer as they give it; encode, JSON out
    once           what is asked under an `Idempotency-Key` is done once
    edge           what every answer carries, and how long a caller may take
    unreadable     what isn't HTTP is refused as all else is
    problems       what went wrong, as RFC 9457 problem+json

    projects, audit, portal, egress       `/v1`, a class of handlers for each noun: tenants,
    subscriptions, secrets, backlog       webhooks,
    filters, geofences                    what they may ask for,
    events, journal, replays              the log in and out,
    history, again                        attempts and deliveries, and what is sent once more,
    lanes                                 and what operators look at

    planner        the Planner-compatible API, `/v2` and `/api/v1`, over the same control: it reads forms
                   too (planner_bodies), and its errors look different (planner_errors)
    inside         the same routes for pages of this process, without HTTP between
    openapi        the document at /openapi.json, made from the routes and the catalogue
    asyncapi       the document at /asyncapi.json, made from the topics and the catalogue
    descriptions   both of them, /schemas/… and the page at /docs

A handler asks `control`, whose errors are answers; it never decides.
"""
