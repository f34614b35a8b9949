"""`/v1/subscriptions/{id}/secrets`, and the public keys of those that have one."""

import base64
from datetime import datetime

from services.api.call import Answer, Call
from services.control.history import History
from services.control.secrets import Secrets
from services.control.subscriptions import Subscriptions
from services.kernel.clock import rfc3339
from services.kernel.event import Json
from services.kernel.registration import Secret


class SecretRoutes:
    """What owners do with the secrets of their subscriptions."""

    def __init__(self, secrets: Secrets, subscriptions: Subscriptions, history: History) -> None:
        self._secrets = secrets
        self._subscriptions = subscriptions
        self._history = history

    async def list(self, call: Call) -> Answer:
        """List secrets with their ids, ends and last use, never their values."""
        call.caller.require("read")
        id_ = call.path["id"]
        rows = await self._secrets.list(call.caller, id_)
        registration = await self._subscriptions.get(call.caller, id_)
        spans = [(row.created_at, row.expires_at) for row in rows]
        used = await self._history.last_attempts(registration, spans)
        listed = [_secret(row, at) for row, at in zip(rows, used, strict=True)]
        return Answer(200, {"data": listed, "next": None})

    async def rotate(self, call: Call) -> Answer:
        """Create a new secret; the previous one keeps signing until the overlap ends."""
        call.caller.require("manage")
        rotated = await self._secrets.rotate(call.caller, call.path["id"], call.body)
        name = "public_key" if rotated.secret.startswith("whpk_") else "secret"
        return Answer(
            200,
            {
                "id": rotated.id,
                name: rotated.secret,
                "previous_expires_at": rfc3339(rotated.previous_expires_at),
            },
        )

    async def end(self, call: Call) -> Answer:
        """End a secret now."""
        call.caller.require("manage")
        await self._secrets.end(call.caller, call.path["id"], call.path["secret_id"])
        return Answer(204)

    async def public_keys(self, _: Call) -> Answer:
        """Return the public keys of v1a subscriptions."""
        rows = await self._secrets.public_keys()
        keys = [
            {
                "subscription_id": subscription_id,
                "id": id_,
                "public_key": "whpk_" + base64.b64encode(key).decode(),
            }
            for subscription_id, id_, key in rows
        ]
        return Answer(200, {"keys": keys})


def _secret(secret: Secret, used_at: datetime | None) -> Json:
    """Return a secret by all but its value; it signed each attempt while it lasted."""
    return {
        "id": secret.id,
        "signature": secret.scheme.value,
        "public_key": "whpk_" + base64.b64encode(secret.public_key).decode()
        if secret.public_key
        else None,
        "created_at": rfc3339(secret.created_at),
        "expires_at": rfc3339(secret.expires_at) if secret.expires_at else None,
        "last_used_at": None if used_at is None else rfc3339(used_at),
    }
