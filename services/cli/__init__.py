"""`planner-webhooks`: one module per noun, about twenty lines per command; talks to the API.

    app         the list of commands; command: how they are made, shared options, exit codes
    console     what is printed where: results on stdout; progress, colour and hints on stderr
    client      the API: JSON in and out; refusals and silence as exceptions

    roles       dispatch, record, geofence, api, migrate: the processes of a deployment
    dev         everything on this machine; demo: its fleet and its receiver on their own
    subscriptions, apply              create and change webhooks, one by one or from a file
    filters, places                   a filter in a file, judged with line and column
    trigger, simulate, listen, verify for whoever builds a receiver
    again, replay                     the log, and sending it once more
    reset_offsets, rotate_secrets_key, settings   for operators
    bench, bench_chaos, bench_lanes, bench_pages  benchmarks

Exit codes: 0 done, 1 the answer is no, 2 wrong usage or unusable settings, 3 nobody answers, 4 refused
by the API, 130 interrupted.
"""
