"""Settings: all faults at once, misspelt variables named, secrets never shown."""

import base64
import os
import traceback

import pytest
from pydantic import ValidationError

from services.cli.settings import rows
from services.kernel.retry import DEFAULT_SCHEDULE
from services.settings import (
    InvalidSettingsError,
    Settings,
    load,
    unknown_variables,
    variables,
)

KEY = base64.b64encode(b"k" * 32).decode()
SECRET = "hunter2"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.upper().startswith("WEBHOOKS_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def loaded(environment: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        environment.setenv(f"WEBHOOKS_{name}", value)
    return load()


def faults(environment: pytest.MonkeyPatch, **variables: str) -> list[str]:
    with pytest.raises(InvalidSettingsError) as caught:
        loaded(environment, **variables)
    return caught.value.faults


# Defaults and values


def test_nothing_has_to_be_set_to_read_the_settings(environment: pytest.MonkeyPatch) -> None:
    found = loaded(environment)
    assert found.kafka.topics == ("planner.events", "planner.master", "planner.positions")
    assert found.deliver.allow_networks == ()
    assert found.deliver.allow_http is False
    assert found.secrets.key is None


def test_the_default_schedule_is_the_one_that_is_promised(environment: pytest.MonkeyPatch) -> None:
    assert loaded(environment).retry.schedule_seconds == DEFAULT_SCHEDULE


def test_values_are_read_from_variables_by_section_and_field(
    environment: pytest.MonkeyPatch,
) -> None:
    found = loaded(
        environment,
        KAFKA__GROUP="other",
        DELIVER__ALLOW_HTTP="true",
        DELIVER__TIMEOUT_SECONDS="2.5",
        SECRETS__KEY=KEY,
        API__LISTEN="[::1]:0",
    )
    assert (found.kafka.group, found.deliver.allow_http) == ("other", True)
    assert (found.deliver.timeout_seconds, found.api.listen) == (2.5, "[::1]:0")
    assert found.secrets.key is not None
    assert found.secrets.key.get_secret_value() == KEY


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("10.0.0.0/8", ("10.0.0.0/8",)),
        ("10.0.0.0/8,127.0.0.1", ("10.0.0.0/8", "127.0.0.1")),
        (" 10.0.0.0/8 ,  ::1/128 ", ("10.0.0.0/8", "::1/128")),
    ],
)
def test_lists_are_words_between_commas_or_blanks(
    environment: pytest.MonkeyPatch, text: str, words: tuple[str, ...]
) -> None:
    assert loaded(environment, DELIVER__ALLOW_NETWORKS=text).deliver.allow_networks == words


def test_an_empty_schedule_means_one_attempt(environment: pytest.MonkeyPatch) -> None:
    assert loaded(environment, RETRY__SCHEDULE_SECONDS="").retry.schedule_seconds == ()


def test_a_whole_section_can_be_json(environment: pytest.MonkeyPatch) -> None:
    found = loaded(environment, KAFKA='{"group": "json", "topics": "a b"}')
    assert (found.kafka.group, found.kafka.topics) == ("json", ("a", "b"))


def test_settings_do_not_change_once_they_are_read(environment: pytest.MonkeyPatch) -> None:
    found = loaded(environment)
    with pytest.raises(ValidationError, match="frozen"):
        found.kafka.group = "other"
    with pytest.raises(ValidationError, match="frozen"):
        found.kafka = found.kafka


def test_every_section_and_variable_has_a_line_of_meaning_or_speaks_for_itself() -> None:
    for name, info in Settings.model_fields.items():
        assert info.annotation.__doc__, name
    assert len({variable for variable, _, _ in variables()}) > 50


# Faults


def test_all_faults_are_told_at_once_each_with_its_variable(
    environment: pytest.MonkeyPatch,
) -> None:
    found = faults(
        environment,
        KAFKA__SECURITY_PROTOCOL="TLS",
        POSTGRES__POOL_SIZE="0",
        API__LISTEN="8080",
        SECRETS__KEY="short",
        DELIVER__ALLOW_NETWORKS="10.0.0.1/8",
        DELIVER__TIMEOUT_SECONDS="31",
        RETRY__SCHEDULE_SECONDS="5 soon",
        OBSERVE__LOG_LEVEL="loud",
    )
    assert [fault.partition(":")[0] for fault in found] == [
        "WEBHOOKS_KAFKA__SECURITY_PROTOCOL",
        "WEBHOOKS_POSTGRES__POOL_SIZE",
        "WEBHOOKS_API__LISTEN",
        "WEBHOOKS_SECRETS__KEY",
        "WEBHOOKS_DELIVER__ALLOW_NETWORKS",
        "WEBHOOKS_DELIVER__TIMEOUT_SECONDS",
        "WEBHOOKS_RETRY__SCHEDULE_SECONDS",
        "WEBHOOKS_OBSERVE__LOG_LEVEL",
    ]


def test_the_error_itself_names_every_fault(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSettingsError, match=r"POOL_SIZE.*; .*LISTEN"):
        loaded(environment, POSTGRES__POOL_SIZE="0", API__LISTEN="x")


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("API__LISTEN", "8080", "host:port"),
        ("API__LISTEN", ":8080", "host:port"),
        ("API__LISTEN", "127.0.0.1:http", "host:port"),
        ("API__LISTEN", "127.0.0.1:65536", "host:port"),
        ("OBSERVE__LISTEN", "", "host:port"),
        ("SECRETS__KEY", "no base64!", "--new-key"),
        ("SECRETS__KEY", "plaça", "--new-key"),
        ("SECRETS__KEY", base64.b64encode(b"k" * 31).decode(), "31 bytes instead of 32"),
        ("SECRETS__PREVIOUS_KEYS", f"{KEY},QUJD", "3 bytes instead of 32"),
        ("DELIVER__ALLOW_NETWORKS", "10.0.0.1/8", "10.0.0.1/8 has host bits set"),
        ("DELIVER__ALLOW_NETWORKS", "10.0.0.0/8 intranet", "intranet"),
        ("DELIVER__ALLOW_NETWORKS", "::1/129", "129"),
        ("DELIVER__TIMEOUT_SECONDS", "0.5", "greater than or equal to 1"),
        ("DELIVER__TIMEOUT_SECONDS", "nan", "30"),
        ("DELIVER__MAX_IN_FLIGHT", "1.5", "integer"),
        ("RETRY__SCHEDULE_SECONDS", "5 0", "greater than 0"),
        ("RETRY__SCHEDULE_SECONDS", "5 inf", "86400"),
        ("RETRY__SCHEDULE_SECONDS", "5 90000", "86400"),
        ("DISPATCH__DRAIN_SECONDS", "inf", "finite"),
        ("DISPATCH__DRAIN_SECONDS", "-1", "greater than 0"),
        ("KAFKA__GROUP__NAME", "x", "string"),
    ],
)
def test_a_value_that_cannot_be_used_is_told_with_what_is_wrong(
    environment: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    (fault,) = faults(environment, **{variable: value})
    named = "__".join(variable.split("__")[:2])
    assert fault.startswith(f"WEBHOOKS_{named}: ")
    assert told in fault


@pytest.mark.parametrize("value", ["{group", "5", "[]", '"x"'])
def test_a_section_that_is_no_object_is_told_by_its_name(
    environment: pytest.MonkeyPatch, value: str
) -> None:
    (fault,) = faults(environment, KAFKA=value)
    assert fault.startswith("WEBHOOKS_KAFKA: ")


# Unknown variables


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("WEBHOOKS_KAFKA__BOOTSTRAP_SERVER", "WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS"),
        ("WEBHOOKS_KAFKA_GROUP", "WEBHOOKS_KAFKA__GROUP"),
        ("WEBHOOKS_DELIVERY__ALLOW_HTTP", "WEBHOOKS_DELIVER__ALLOW_HTTP"),
        ("webhooks_kafka__gruop", "WEBHOOKS_KAFKA__GROUP"),
        ("WEBHOOKS_API_TEST_LISTEN", "WEBHOOKS_API__LISTEN"),
    ],
)
def test_a_misspelt_variable_is_warned_of_with_the_nearest_name(name: str, meant: str) -> None:
    assert unknown_variables({name: "x"}) == [
        f"{name} is not a setting and was ignored: did you mean {meant}?"
    ]


def test_a_variable_like_no_other_is_warned_of_without_a_guess() -> None:
    assert unknown_variables({"WEBHOOKS_Q": "x"}) == ["WEBHOOKS_Q is not a setting and was ignored"]


def test_every_misspelt_variable_is_warned_of_in_order() -> None:
    found = unknown_variables({"WEBHOOKS_ZZZ": "", "PATH": "/bin", "WEBHOOKS_AAA": ""})
    assert [sentence.partition(" ")[0] for sentence in found] == ["WEBHOOKS_AAA", "WEBHOOKS_ZZZ"]


def test_what_is_a_setting_is_not_warned_of() -> None:
    known = [variable for variable, _, _ in variables()]
    assert unknown_variables(dict.fromkeys(known, "x")) == []
    assert unknown_variables({name.lower(): "x" for name in known}) == []


def test_a_whole_section_is_a_setting() -> None:
    assert unknown_variables({"WEBHOOKS_KAFKA": "{}", "webhooks_api": "{}"}) == []


def test_variables_of_the_tests_and_of_others_are_nobodys_concern() -> None:
    assert unknown_variables({"WEBHOOKS_TEST_KAFKA": "x", "KAFKA__GROUP": "x"}) == []


@pytest.mark.parametrize(
    "servers", ["", ":", "kafka-1:", "kafka-1:port", "kafka-1:9092,", "k:99999"]
)
def test_what_is_no_address_of_a_broker_is_a_fault(
    environment: pytest.MonkeyPatch, servers: str
) -> None:
    (fault,) = faults(environment, KAFKA__BOOTSTRAP_SERVERS=servers)
    assert fault.startswith("WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS: ")
    assert "host:port" in fault


@pytest.mark.parametrize("servers", ["kafka-1", "kafka-1:9092, 10.0.0.7:9092", "[::1]:9092"])
def test_brokers_are_named_by_host_or_address(
    environment: pytest.MonkeyPatch, servers: str
) -> None:
    assert loaded(environment, KAFKA__BOOTSTRAP_SERVERS=servers).kafka.bootstrap_servers == servers


@pytest.mark.parametrize("dsn", ["mysql://hooks:pa55word@db/hooks", "db.example.com", ""])
def test_what_names_no_postgres_is_a_fault_beside_the_others_and_keeps_its_password(
    environment: pytest.MonkeyPatch, dsn: str
) -> None:
    found = faults(environment, POSTGRES__DSN=dsn, KAFKA__BOOTSTRAP_SERVERS=":1")
    assert len(found) == 2
    assert "WEBHOOKS_POSTGRES__DSN: " in str(found)
    assert "postgresql://" in str(found)
    assert "pa55word" not in str(found)


def test_sasl_without_a_password_is_a_fault(environment: pytest.MonkeyPatch) -> None:
    (fault,) = faults(
        environment, KAFKA__SECURITY_PROTOCOL="SASL_SSL", KAFKA__SASL_USERNAME="webhooks"
    )
    assert "SASL_SSL needs" in fault
    assert "WEBHOOKS_KAFKA__SASL_PASSWORD" in fault


def test_nothing_to_read_is_a_fault(environment: pytest.MonkeyPatch) -> None:
    assert len(faults(environment, KAFKA__TOPICS=" ")) == 1


def test_a_network_that_is_none_is_named(environment: pytest.MonkeyPatch) -> None:
    (fault,) = faults(environment, DELIVER__ALLOW_NETWORKS="10.0.0.0/8 10.1.0.0/99")
    assert "'10.1.0.0/99' is not a network" in fault


# Secrets


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SECRETS__KEY", SECRET),
        ("SECRETS__KEY", f"{SECRET} ä"),
        ("SECRETS__PREVIOUS_KEYS", f"{KEY} {SECRET}"),
        ("SECRETS", f'{{"key": "{SECRET}"}}'),
        ("SECRETS", f'{{"key": "{SECRET}'),
        ("SECRETS", f'"{SECRET}"'),
    ],
)
def test_no_fault_shows_a_secret_nor_does_its_traceback(
    environment: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        loaded(environment, **{variable: value})
    assert SECRET not in "".join(caught.value.faults)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


SECRETS = {
    "KAFKA__SASL_PASSWORD": SECRET,
    "POSTGRES__DSN": f"postgresql://planner:{SECRET}@db.example.com:5432/webhooks",
    "API__ADMIN_KEY": SECRET,
    "SECRETS__KEY": base64.b64encode(SECRET.ljust(32).encode()).decode(),
    "SECRETS__PREVIOUS_KEYS": base64.b64encode(SECRET.rjust(32).encode()).decode(),
    "CLI__KEY": SECRET,
}


@pytest.mark.parametrize("variable", SECRETS)
def test_no_text_of_the_settings_shows_a_secret(
    environment: pytest.MonkeyPatch, variable: str
) -> None:
    found = loaded(environment, **{variable: SECRETS[variable]})
    for text in (repr(found), str(found), found.model_dump_json(), str(found.model_dump())):
        assert SECRET not in text
        assert SECRETS[variable] not in text


def shown(environment: pytest.MonkeyPatch, **variables: str) -> dict[str, dict[str, object]]:
    """Return the rows of the command `settings` by variable."""
    found = loaded(environment, **variables)
    return {str(row["variable"]).removeprefix("WEBHOOKS_"): row for row in rows(found, os.environ)}


@pytest.mark.parametrize("variable", SECRETS)
def test_the_command_that_lists_settings_hides_secrets(
    environment: pytest.MonkeyPatch, variable: str
) -> None:
    row = shown(environment, **{variable: SECRETS[variable]})[variable]
    assert "***" in str(row["value"])
    assert SECRET not in str(row["value"])
    assert row["from"] == "environment"


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        (
            "postgresql://u:pw@h:5432/d?sslmode=require",
            "postgresql://u:***@h:5432/d?sslmode=require",
        ),
        ("postgresql://u:p@w@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:p/w@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d?password=pw&x=1", "postgresql://u@h/d?password=***&x=1"),
        ("postgresql:///d?host=/run&PASSWORD=pw", "postgresql:///d?host=/run&PASSWORD=***"),
        ("postgresql://127.0.0.1/webhooks", "postgresql://127.0.0.1/webhooks"),
    ],
)
def test_of_an_address_only_the_password_is_hidden(
    environment: pytest.MonkeyPatch, dsn: str, expected: str
) -> None:
    assert shown(environment, POSTGRES__DSN=dsn)["POSTGRES__DSN"]["value"] == expected


def test_it_is_told_where_a_value_came_from(environment: pytest.MonkeyPatch) -> None:
    found = shown(environment, KAFKA='{"group": "g"}', API__LISTEN="127.0.0.1:1")
    assert found["KAFKA__GROUP"]["from"] == "environment (WEBHOOKS_KAFKA)"
    assert found["API__LISTEN"]["from"] == "environment"
    assert found["DELIVER__ALLOW_HTTP"]["from"] == "default"
    assert (
        found["RETRY__SCHEDULE_SECONDS"]["value"] == "5 300 1800 7200 18000 36000 50400 72000 86400"
    )
