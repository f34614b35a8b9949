"""What subscriptions are signed with: rotated with an overlap, ended, listed without their values."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from services.control.access import Caller
from services.control.audit import Audit
from services.control.checks import Checker
from services.control.drafts import new_secret
from services.control.subscriptions import NOUN, Subscriptions
from services.deliver.signing import secret_text
from services.kernel.clock import Clock, rfc3339
from services.kernel.errors import ConflictError, NotFoundError
from services.kernel.event import Json
from services.kernel.ids import Entropy, SecretId, SubscriptionId, is_id
from services.kernel.ports.control import RegistrationStore
from services.kernel.registration import Secret

MAX_OVERLAP_HOURS = 168
OVERLAP_HOURS = 24


class Rotated(NamedTuple):
    """A new secret, and until when the one before signs as well."""

    id: SecretId
    secret: str
    previous_expires_at: datetime


class Secrets:
    """All that owners do with the secrets of their subscriptions."""

    def __init__(
        self,
        *,
        store: RegistrationStore,
        subscriptions: Subscriptions,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._subscriptions = subscriptions
        self._audit = audit
        self._clock = clock
        self._entropy = entropy

    async def rotate(self, caller: Caller, id_: str, body: Json) -> Rotated:
        """Make a new secret; the one before signs as well until the overlap ends."""
        found = await self._subscriptions.get(caller, id_)
        check = Checker("The rotation is not valid", body, known=("overlap_hours",))
        hours = check.number("overlap_hours", least=0, most=MAX_OVERLAP_HOURS)
        check.finish()
        hours = OVERLAP_HOURS if hours is None else hours
        new = new_secret(found.signature, clock=self._clock, entropy=self._entropy)
        ends = self._clock.now() + timedelta(hours=hours)
        async with self._audit.change(caller, NOUN) as change:
            await self._store.rotate(found.id, new, previous_expires_at=ends)
            made = {"secret_id": new.id, "previous_expires_at": rfc3339(ends)}
            change.note("rotate", found.id, project_id=found.project_id, after=made)
        return Rotated(new.id, secret_text(new.key), ends)

    async def list(self, caller: Caller, id_: str) -> Sequence[Secret]:
        """Return what is known of its secrets, never their values."""
        found = await self._subscriptions.get(caller, id_)
        return await self._store.secrets(found.id)

    async def end(self, caller: Caller, id_: str, secret_id: str) -> None:
        """End a secret now. Raises NotFoundError; ConflictError for the last one."""
        found = await self._subscriptions.get(caller, id_)
        if not is_id(secret_id):
            raise NotFoundError("secret", secret_id)
        at = self._clock.now()
        async with self._audit.change(caller, NOUN) as change:
            if await self._store.end_secret(found.id, SecretId(secret_id), at=at):
                ended = {"secret_id": secret_id}
                change.note("end_secret", found.id, project_id=found.project_id, before=ended)
                return
        known = {secret.id: secret for secret in await self._store.secrets(found.id)}
        secret = known.get(SecretId(secret_id))
        if secret is None:
            raise NotFoundError("secret", secret_id)
        if secret.expires_at is None or secret.expires_at > at:
            raise ConflictError("the last secret can't end: rotate it instead")

    async def public_keys(self) -> Sequence[tuple[SubscriptionId, SecretId, bytes]]:
        """Return the public keys of all v1a secrets that sign."""
        return await self._store.public_keys()
