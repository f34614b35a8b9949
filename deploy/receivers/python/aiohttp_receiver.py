"""A receiver on aiohttp: pip install aiohttp cryptography
WEBHOOK_SECRET=whsec_… (or the public key whpk_…) PORT=8000 python aiohttp_receiver.py"""

import asyncio
import base64
import hmac
import json
import os
import time

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PREFIX, _, TEXT = os.environ["WEBHOOK_SECRET"].partition("_")
KEY = base64.b64decode(TEXT)
VERSION = {"whsec": "v1", "whpk": "v1a"}[PREFIX]
TOLERANCE = 300  # seconds

seen = {}  # in production a table with a unique key, kept for three days and more
work = asyncio.Queue()  # in production a queue or a table that outlives the process


def refusal(headers, body, now):
    """Say why a request is not to be believed; None if it is. `body`: the bytes as they came."""
    id_, timestamp, signatures = (headers.get(f"webhook-{n}") for n in ("id", "timestamp", "signature"))
    if not (id_ and timestamp and signatures):
        return "header missing"
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 15):
        return "timestamp is not a number"
    if int(timestamp) < now - TOLERANCE:
        return "timestamp too old"
    if int(timestamp) > now + TOLERANCE:
        return "timestamp ahead"
    content = f"{id_}.{timestamp}.".encode() + body
    # Several, separated by spaces, while a secret is rotated: one that fits is enough.
    ours = [one.partition(",")[2] for one in signatures.split(" ") if one.startswith(f"{VERSION},")]
    return None if any([fits(content, one) for one in ours]) else "no signature fits"


def fits(content, signature):
    if VERSION == "v1":
        expected = base64.b64encode(hmac.digest(KEY, content, "sha256"))
        return hmac.compare_digest(expected, signature.encode())
    try:
        Ed25519PublicKey.from_public_bytes(KEY).verify(base64.b64decode(signature), content)
    except (InvalidSignature, ValueError):
        return False
    return True


def is_new(headers):
    """Two webhooks with one URL get the same ids; a replay was asked for, so it counts anew."""
    pair = tuple(headers.get(n) for n in ("webhook-id", "planner-webhook-id", "planner-replay"))
    if pair in seen:
        return False
    seen[pair] = time.time()
    while len(seen) > 100_000:
        del seen[next(iter(seen))]
    return True


async def receive(request):
    body = await request.read()  # raw: request.json() and dumping it again gives other bytes
    why = refusal(request.headers, body, time.time())
    if why:
        return web.Response(status=401, text=why)
    if is_new(request.headers):
        work.put_nowait(body)
    return web.Response(status=204)  # before the work is done: the sender waits 15 s at most


async def worker():
    while True:
        event = json.loads(await work.get())
        print(event["type"], event["id"], flush=True)  # here goes what you do with it


async def working(_app):
    task = asyncio.create_task(worker())
    yield
    task.cancel()


app = web.Application(client_max_size=8 << 20)
app.router.add_post("/webhooks", receive)
app.cleanup_ctx.append(working)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")), print=None)
