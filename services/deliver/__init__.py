"""One request, well paced. A slow receiver slows nobody else.

    outbox      all outboxes: fair turns, first between projects; couriers that send
    paced       one of them: what waits for a subscription, and how fast it may go
    order       by key: the next goes out when the one before is through
    batch       several events in one request
    conflate    the latest position of each vehicle, once in a while: what replaces what
    pacing      requests at once, by what answers tell; requests per second, by what was declared
    breaker     whether a receiver is there: probes, until it is
    answers     what the last answers tell: their median, the share of successes
    send        signs and sends one delivery
    signing     Standard Webhooks: v1 (HMAC-SHA256) and v1a (ed25519)
    http        the door to the network: checks addresses, bounds time and size, follows nothing
    exchange    one exchange on a pooled connection, and nothing else around it
    tls         one SSL context for all, and one per certificate that a subscription shows
    certificates  such a certificate, as it is written: read, and all that is wrong with it
    addresses   which addresses may be called, and which URLs accepted
    verify      what a receiver does with a request: is it ours, whole and fresh?
    outcome     how a request ended, from what the client raised or the server answered

`outbox.deliver` never blocks and never raises; an answer comes back through `on_attempt`. What a
receiver does is data: a `Sender` turns refusals, time-outs, broken connections and nonsense into an
`Attempt`. Nothing here is durable, and nothing needs to be: what an outbox holds is still ahead of a
committed offset, or has a row.

Costs: no task or timer per request or idle subscription. A pool of tasks, as large as there are
requests at once, takes delivery after delivery; one sweep ends requests whose time is up.
"""
