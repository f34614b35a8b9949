"""What people may do: one module per noun; each checks, decides and stores. No HTTP here.

    access         who is calling and what they may do; rates: how often
    checks         a body is checked: all faults at once, each with its place
    audit          who changed what, in the transaction of the change
    answers        the same answer again under the same Idempotency-Key
    projects       tenants and their API keys
    portal         links that show one customer their webhooks

    fields         the fields of a subscription: every rule with its sentence
    certificates   client certificates that are shown to receivers; their keys are never returned
    drafts         a submitted subscription, judged by all rules; nothing is stored
    subscriptions  create, change, pause, resume, delete; starts: where one begins
    secrets        signing secrets: rotate, end, list
    keys           of ordered subscriptions: an event that holds its key is retried or given up
    test_calls     requests that are made at once and count nowhere
    bench          test calls that misbehave on purpose, and what the answer shows; pure
    test_days      a van's day as test calls for one receiver, a few events per request
    written        an event as it goes out to one webhook, for a test call or a resend

    filters        judged when they are written, tried on one event
    geofences      areas that filters name
    dry_runs       filters tried on the log, as jobs; rehearsal: the counting, event by event
    matches        which subscriptions get an event of the log, and why the others don't
    match_counts   how many events a subscription was tried on, and which clauses refused them

    ingest         events in: strictly checked, acknowledged once Kafka has them
    volumes        how much a project has of each event type
    journal        the log, read forward from a pointer or a time
    view           which events are shown to whom, and in which form
    readers        a small pool of log readers, shared by everything that reads the log
    tail           events and deliveries as they happen

    history        attempts and deliveries: searched, shown, counted
    requests       a request rebuilt as it was sent; batches: those of several events
    dead_letters   what was given up: by cause, discarded with a reason
    resends        sending deliveries again: one, or many as a job
    resending      works through those jobs; from_log: remakes deliveries that the log still has
    replays        part of the log once more; replay_counts: what one would send
    log_begins     the earliest time that the log can still be read from
    backlog        where a subscription stands: how far behind, why, how close to the log's retention
    lanes          for operators: all lanes, and all partitions with their owners

The native API, the Planner-compatible API and the dashboard present these: there is one set of rules.
A caller's fault is a `FaultsError` with all faults at once, and changes nothing.
"""
