"""A receiver on FastAPI, verifying with the Standard Webhooks library:
pip install fastapi uvicorn standardwebhooks
WEBHOOK_SECRET=whsec_… PORT=8000 python fastapi_receiver.py"""

import json
import os
import time

import uvicorn
from fastapi import BackgroundTasks, FastAPI, Request, Response
from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])  # five minutes of tolerance, several signatures
MAX_BODY = 8 << 20

seen = {}  # in production a table with a unique key, kept for three days and more
app = FastAPI()


def is_new(headers):
    """Two webhooks with one URL get the same ids; a replay was asked for, so it counts anew."""
    pair = tuple(headers.get(n) for n in ("webhook-id", "planner-webhook-id", "planner-replay"))
    if pair in seen:
        return False
    seen[pair] = time.time()
    while len(seen) > 100_000:
        del seen[next(iter(seen))]
    return True


def handle(event):
    print(event["type"], event["id"], flush=True)  # here goes what you do with it


@app.post("/webhooks")
async def receive(request: Request, later: BackgroundTasks) -> Response:
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > MAX_BODY:
        return Response("body too large, or of unknown length", status_code=413)
    body = await request.body()  # raw: a pydantic model, dumped again, gives other bytes
    try:
        webhook.verify(body, dict(request.headers), json_parse=False)
    except WebhookVerificationError as error:
        return Response(str(error), status_code=401)
    except ValueError:  # a signature that is no `version,base64`, or a body that is no UTF-8
        return Response("No matching signature found", status_code=401)
    if is_new(request.headers):
        later.add_task(handle, json.loads(body))  # in production: into a queue that outlives us
    return Response(status_code=204)  # before the work is done: the sender waits 15 s at most


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")), log_level="error")
