"""What is asked under an `Idempotency-Key` is done once, and answered as the first time after that."""

from collections.abc import Awaitable, Callable

from services.api.call import Answer, Streamed
from services.control.access import Caller
from services.control.answers import Answers

TYPE, JSON = "Content-Type", "application/json"
REPLAYED = {"Idempotent-Replay": "true"}


class Once:
    """Keeps answers, for requests and for pages alike."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def answer(
        self,
        do: Callable[[], Awaitable[Answer | Streamed]],
        *,
        caller: Caller,
        key: str,
        method: str,
        path: str,
        body: bytes,
    ) -> Answer:
        """Do it, or answer as the first time. Raises what *do* does; then nothing is kept.

        Raises FaultsError for another body under the same key, ConflictError while the first is running.
        """
        stored = await self._answers.begin(caller.id, key, method=method, path=path, body=body)
        if stored is not None:
            kind = stored.headers.get(TYPE, JSON)
            headers = {name: text for name, text in stored.headers.items() if name != TYPE}
            return Answer(stored.status or 200, stored.body, {**headers, **REPLAYED}, kind)
        try:
            answer = await do()
        except BaseException:
            await self._answers.release(caller.id, key)
            raise
        assert isinstance(answer, Answer)  # noqa: S101 - nothing that is posted is streamed
        headers = {**answer.headers, TYPE: answer.content_type}
        await self._answers.finish(
            caller.id, key, status=answer.status, headers=headers, body=answer.encoded()
        )
        return answer
