"""What people may do: one module per noun, each checks, decides and stores. No HTTP here.

    access         who is calling, and what they may
    projects       tenants and their API keys
    fields         what a subscription may say: every rule with its sentence
    certificates   what a subscription shows a receiver who asks who calls; its key is never shown
    drafts         what a body asks for, judged by all rules; nothing is stored
    subscriptions  make, change, pause, resume, delete
    secrets        what they are signed with: rotate, end, list
    portal         links that show one customer their webhooks
    keys           of ordered subscriptions: what holds one is tried again or given up
    test_calls     requests made at once that count nowhere
    bench          those that misbehave on purpose, and what an answer to them says; pure
    test_days      a van's day for one receiver, as tests, a few events a call
    written        an event as it goes out to one webhook, for a test call or once more
    geofences      areas that filters name
    volumes        how much a project has of each event type
    ingest         events in, strictly checked, acknowledged when Kafka has them
    audit          who changed what, in the transaction of the change: every noun notes its own
    dead_letters   what was given up: by cause, discarded with a reason
    resends        sending deliveries again: one, or many as a job
    resending      works on those jobs; from_log makes deliveries anew of what the log still has
    log_begins     from when on the log can be read again
    journal        the log, read forward by pointer or time
    view           which events are shown to whom, and as what; readers of the log, a few for all
    tail           events and deliveries as they happen
    backlog        where a subscription is: how far behind, why, how near to the edge of the log
    lanes          for operators: all lanes, and all partitions with their owners
    answers        the same answer again under the same Idempotency-Key

The native API, the Planner-compatible API and the dashboard present these: there is one set of rules.
A caller's fault is a `FaultsError` with all faults at once, and changes nothing.
"""
