"""A receiver with the standard library alone: WEBHOOK_SECRET=whsec_… PORT=8000 python receiver.py"""

import base64
import hmac
import json
import os
import queue
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
TOLERANCE = 300  # seconds
MAX_BODY = 8 << 20

seen = {}  # in production a table with a unique key, kept for three days and more
lock = threading.Lock()
work = queue.Queue()  # in production a queue or a table that outlives the process


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
    digest = hmac.digest(KEY, f"{id_}.{timestamp}.".encode() + body, "sha256")
    expected = b"v1," + base64.b64encode(digest)
    # Several, separated by spaces, while a secret is rotated: one that fits is enough.
    fits = [hmac.compare_digest(expected, one.encode()) for one in signatures.split(" ")]
    return None if any(fits) else "no signature fits"


def is_new(headers):
    """Two webhooks with one URL get the same ids; a replay was asked for, so it counts anew."""
    pair = tuple(headers.get(n) for n in ("webhook-id", "planner-webhook-id", "planner-replay"))
    with lock:
        if pair in seen:
            return False
        seen[pair] = time.time()
        while len(seen) > 100_000:
            del seen[next(iter(seen))]
        return True


def worker():
    while True:
        event = json.loads(work.get())
        print(event["type"], event["id"], flush=True)  # here goes what you do with it


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True
            return self.answer(413, "body too large, or of unknown length")
        body = self.rfile.read(int(length))
        why = refusal(self.headers, body, time.time())
        if why:
            return self.answer(401, why)
        if is_new(self.headers):
            work.put(body)
        return self.answer(204)  # before the work is done: the sender waits 15 s at most

    def answer(self, status, text=""):
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    threading.Thread(target=worker, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Receiver).serve_forever()
