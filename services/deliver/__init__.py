"""One request, well paced. A slow receiver slows nobody else.

    outbox      one bounded queue per subscription; fair turns, first between projects
    send        signs and sends one delivery
    signing     Standard Webhooks: v1 (HMAC-SHA256) and v1a (ed25519)
    http        the door to the network: checks addresses, bounds time and size, follows nothing
    addresses   which addresses may be called, and which URLs accepted
    outcome     how a request ended, from what the client raised or the server answered

`outbox.deliver` never blocks and never raises; an answer comes back through `on_attempt`. What a
receiver does is data: a `Sender` turns refusals, time-outs, broken connections and nonsense into an
`Attempt`. Nothing here is durable, and nothing needs to be: what an outbox holds is still ahead of a
committed offset, or has a row.

Costs: no task or timer per request or idle subscription. A pool of tasks, as large as there are
requests at once, takes delivery after delivery; one sweep ends requests whose time is up.
"""
