"""Everything configurable, read once from `WEBHOOKS_SECTION__FIELD`, frozen.

    shared   kafka, postgres, secrets, observe: for several roles
    serving  api, dashboard, cli
    working  deliver, retry, dispatch, record, geofence
    values   how values are written

Durations are numbers with the unit in their name. Only `run` and `cli` read settings; the stages get
values. All faults are reported at once, as is every unknown `WEBHOOKS_` variable with the nearest name.
"""

import difflib
from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from services.settings.serving import Api, Cli, Dashboard
from services.settings.shared import Kafka, Observe, Postgres, Secrets
from services.settings.values import PREFIX
from services.settings.working import Deliver, Dispatch, Geofence, Record, Retry


class Settings(BaseSettings):
    """All sections."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # it may be a secret, and a traceback shows the cause
    )

    kafka: Kafka = Kafka()
    postgres: Postgres = Postgres()
    api: Api = Api()
    dashboard: Dashboard = Dashboard()
    secrets: Secrets = Secrets()
    deliver: Deliver = Deliver()
    retry: Retry = Retry()
    dispatch: Dispatch = Dispatch()
    record: Record = Record()
    geofence: Geofence = Geofence()
    observe: Observe = Observe()
    cli: Cli = Cli()


class InvalidSettingsError(ValueError):
    """Settings that can't be used: `faults` has a line per variable, all of them at once."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


_HINT = f"set what you need of it as {PREFIX}SECTION__FIELD"


def load() -> Settings:
    """Read the settings from the environment. Raises InvalidSettingsError; never shows a secret."""
    try:
        return Settings()
    except ValidationError as error:
        raise InvalidSettingsError([_sentence(fault) for fault in error.errors()]) from error
    except SettingsError as error:  # a whole section as JSON, and it isn't JSON
        section = str(error).partition('field "')[2].partition('"')[0].upper()
        raise InvalidSettingsError([f"{PREFIX}{section}: not JSON; {_HINT}"]) from error


def _sentence(fault: ErrorDetails) -> str:
    section, *rest = fault["loc"]
    variable = f"{PREFIX}{'__'.join(map(str, (section, *rest[:1])))}".upper()
    return f"{variable}: {fault['msg'].removeprefix('Value error, ')}"


def variables() -> Iterator[tuple[str, str, str]]:
    """Yield (variable, section, field) of everything that can be set."""
    for section, info in Settings.model_fields.items():
        model = info.annotation
        assert isinstance(model, type) and issubclass(model, BaseModel)  # noqa: PT018, S101
        for field in model.model_fields:
            yield f"{PREFIX}{section}__{field}".upper(), section, field


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Say, a sentence each, which `WEBHOOKS_` variables are ignored, with the nearest name."""
    known = [variable.removeprefix(PREFIX) for variable, _, _ in variables()]
    whole = [section.upper() for section in Settings.model_fields]  # as JSON
    sentences = []
    for given in sorted(environ):
        name = given.upper().removeprefix(PREFIX)
        if not given.upper().startswith(PREFIX) or name in (*known, *whole):
            continue
        if name.startswith("TEST_"):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f": did you mean {PREFIX}{near[0]}?" if near else ""
        sentences.append(f"{given} is not a setting and was ignored{hint}")
    return sentences
