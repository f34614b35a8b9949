"""One request, well paced. A slow receiver slows nobody else.

    outboxes    all outboxes: what callers put in and take back; fair turns
    conditions  how each of them is doing: everything that can be asked, nothing that changes it
    couriers    the tasks that send, as many as there are requests at once
    rings       whose turn it is: first between projects, then between their subscriptions
    held        who waits for a time: a rate limit, Retry-After, the next probe
    outbox      one of them: what waits for a subscription, and how fast it may go
    order       by key: the next goes out once the one before is through
    batch       several events in one request
    conflate    the latest position of each vehicle, once in a while: what replaces what
    pacing      concurrency that adapts to the answers; a declared rate that is enforced
    breaker     whether a receiver is reachable: probes until it is
    answers     statistics of the latest answers: their median time, the share of successes
    send        signs and sends one delivery
    signing     Standard Webhooks: v1 (HMAC-SHA256) and v1a (ed25519)
    http        the door to the network: checks addresses, bounds time and size, follows no redirect
    exchange    one exchange on a pooled connection, and nothing else around it
    tls         one SSL context for all, and one per client certificate of a subscription
    certificates  reading such a certificate, and everything that can be wrong with it
    addresses   which addresses may be called, and which URLs are accepted
    verify      what a receiver does with a request: is it ours, whole and fresh?
    outcome     how a request ended, from what the client raised or the server answered

`outboxes.deliver` never blocks and never raises; an answer comes back through `on_attempt`. What a
receiver does is data: a `Sender` turns refusals, time-outs, broken connections and nonsense into an
`Attempt`. Nothing here is durable, and nothing needs to be: whatever an outbox holds is still ahead of
a committed offset, or has a row.

Costs: no task or timer per request or per idle subscription. A pool of tasks, as large as the number
of concurrent requests, takes one delivery after another; one periodic sweep ends requests whose time
is up.
"""
