"""What people may do: one module per noun, each checks, decides and stores. No HTTP here.

    access         who is calling, and what they may; rates, how often
    checks         a body checked: all faults at once, each with its place
    audit          who changed what, in the transaction of the change: every noun notes its own
    answers        the same answer again under the same Idempotency-Key
    projects       tenants and their API keys
    portal         links that show one customer their webhooks

    fields         what a subscription may say: every rule with its sentence
    certificates   what a subscription shows a receiver who asks who calls; its key is never shown
    drafts         what a body asks for, judged by all rules; nothing is stored
    subscriptions  make, change, pause, resume, delete; starts, where one begins
    secrets        what they are signed with: rotate, end, list
    keys           of ordered subscriptions: what holds one is tried again or given up
    test_calls     requests made at once that count nowhere
    bench          those that misbehave on purpose, and what an answer to them says; pure
    test_days      a van's day for one receiver, as tests, a few events a call
    written        an event as it goes out to one webhook, for a test call or once more

    filters        judged when they are written, tried on one event
    geofences      areas that filters name
    dry_runs       filters tried on the log, as jobs; rehearsal counts, event by event
    matches        which subscriptions get an event of the log, and why not
    match_counts   how many events a subscription was tried on, and which clauses said no

    ingest         events in, strictly checked, acknowledged when Kafka has them
    volumes        how much a project has of each event type
    journal        the log, read forward by pointer or time
    view           which events are shown to whom, and as what
    readers        a few readers of the log, for all that look into it
    tail           events and deliveries as they happen

    history        attempts and deliveries: looked for, looked at, counted
    requests       a request as it went out, written again; batches, those of several events
    dead_letters   what was given up: by cause, discarded with a reason
    resends        sending deliveries again: one, or many as a job
    resending      works on those jobs; from_log makes deliveries anew of what the log still has
    replays        part of the log once more; replay_counts, what that would send
    log_begins     from when on the log can be read again
    backlog        where a subscription is: how far behind, why, how near to the edge of the log
    lanes          for operators: all lanes, and all partitions with their owners

The native API, the Planner-compatible API and the dashboard present these: there is one set of rules.
A caller's fault is a `FaultsError` with all faults at once, and changes nothing.
"""
