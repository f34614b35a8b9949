"""`planner-webhooks`: one module per noun, about twenty lines a command; talks to the API.

    app         the commands in one list; command makes them: options that all have, exit codes
    console     what is said where: results on stdout; progress, colour and hints on stderr
    client      the API: JSON in and out, refusals and silence as exceptions

    roles       dispatch, record, geofence, api, migrate: the processes of a deployment
    dev         everything on this machine; demo, its fleet and its receiver on their own
    subscriptions, apply              make and change webhooks, one by one or from a file
    filters, places                   a filter in a file, judged with line and column
    trigger, simulate, listen, verify what somebody needs who builds a receiver
    again, replay                     the log, and what is sent once more
    reset_offsets, rotate_secrets_key, settings   for operators
    bench, bench_chaos, bench_lanes, bench_pages  figures

Exit codes: 0 done, 1 the answer is no, 2 wrong usage or settings that can't be used, 3 nobody answers,
4 refused by the API, 130 interrupted.
"""
