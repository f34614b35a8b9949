"""A request that isn't valid says why, because "no match" is what people lose an afternoon to."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.deliver.signing import public_key, sign
from services.deliver.verify import Verification, Verifier, parse, verify
from services.kernel.subscription import SignatureScheme, SigningKey

NOW = 1_647_510_067
BODY = '{"id":"61f0","data":{"name":"plaça","n":[1,2.5,null]}}'.encode()
KEY = SigningKey(SignatureScheme.V1, bytes(range(1, 33)))
PAIR = SigningKey(SignatureScheme.V1A, bytes(range(32)))
HELD = Verifier("v1", KEY.key)
HELD_PUBLIC = Verifier("v1a", public_key(PAIR))


def request(
    *keys: SigningKey, body: bytes = BODY, at: int = NOW, **changed: str | None
) -> dict[str, str]:
    """Return the headers of a request; *changed* are without `webhook-`, None leaves one out."""
    found = {
        "webhook-id": "61f0",
        "webhook-timestamp": str(at),
        "webhook-signature": sign(keys or (KEY,), id_="61f0", timestamp=at, body=body, now=at),
        **{f"webhook-{name}": value for name, value in changed.items()},
    }
    return {name: value for name, value in found.items() if value is not None}


def answer(
    headers: dict[str, str], *, body: bytes = BODY, verifier: Verifier = HELD, **more: float
) -> Verification:
    return verify(verifier, headers=headers, body=body, **{"now": NOW, **more})


def reason(headers: dict[str, str], **more: object) -> str:
    found = answer(headers, **more)
    assert found.valid == (found.reason == "ok")
    assert found.message
    return found.reason


def test_an_untouched_request_is_valid() -> None:
    assert reason(request()) == "ok"
    assert reason(request(PAIR), verifier=HELD_PUBLIC) == "ok"


def test_one_fitting_signature_of_several_is_enough() -> None:
    other = SigningKey(SignatureScheme.V1, b"o" * 32)
    assert reason(request(other, KEY)) == "ok"
    assert reason(request(PAIR, KEY)) == "ok"
    assert reason(request(KEY, PAIR), verifier=HELD_PUBLIC) == "ok"


@pytest.mark.parametrize("name", ["id", "timestamp", "signature"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_header_is_named(name: str, value: str | None) -> None:
    found = answer(request(**{name: value}))
    assert (found.reason, f"webhook-{name}" in found.message) == ("header_missing", True)


def test_all_missing_headers_are_named_at_once() -> None:
    assert answer({}).message.count("webhook-") == 3


@pytest.mark.parametrize("text", ["soon", "1.5", "-1", "\uff11\uff16", "9" * 5_000, "+5"])
def test_a_time_that_is_none_says_so(text: str) -> None:
    assert reason(request(timestamp=text)) == "timestamp"


@pytest.mark.parametrize(
    ("at", "expected"),
    [(NOW - 300, "ok"), (NOW - 301, "too_old"), (NOW + 300, "ok"), (NOW + 301, "ahead")],
)
def test_five_minutes_are_tolerated_either_way(at: int, expected: str) -> None:
    assert reason(request(at=at)) == expected


def test_tolerance_is_the_receivers_choice_and_none_means_any_time() -> None:
    assert reason(request(at=NOW - 20), tolerance=10) == "too_old"
    assert reason(request(at=NOW + 20), tolerance=10) == "ahead"
    assert reason(request(at=0), tolerance=0) == "ok"
    assert reason(request(at=2 * NOW), tolerance=0) == "ok"


def test_an_old_request_that_is_not_ours_is_not_called_old() -> None:
    assert reason(request(SigningKey(SignatureScheme.V1, b"o" * 32), at=NOW - 999)) == "no_match"


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_any_byte_changed_is_refused(place: int, by: int) -> None:
    changed = bytearray(BODY)
    changed[place] ^= by
    assert reason(request(), body=bytes(changed)) in ("no_match", "body_changed")
    assert not answer(request(PAIR), body=bytes(changed), verifier=HELD_PUBLIC).valid


def test_the_id_or_time_of_another_request_is_refused() -> None:
    assert reason(request(id="61f1")) == "no_match"
    assert reason(request(timestamp=str(NOW - 1))) == "no_match"


@pytest.mark.parametrize(
    ("received", "told"),
    [
        (BODY + b"\n", "a line end was added"),
        (BODY + b"\r\n", "a line end was added"),
        (b"  " + BODY + b" \n", "white space was added"),
        (b"\xef\xbb\xbf" + BODY, "a byte order mark was added"),
        (json.dumps(json.loads(BODY)).encode(), "serialised anew"),
        (json.dumps(json.loads(BODY), ensure_ascii=False).encode(), "serialised anew"),
        (json.dumps(json.loads(BODY), indent=2).encode(), "serialised anew"),
    ],
)
def test_what_a_framework_did_to_the_body_is_told(received: bytes, told: str) -> None:
    found = answer(request(), body=received)
    assert (found.reason, told in found.message) == ("body_changed", True), found.message


@pytest.mark.parametrize(
    ("signed", "received", "told"),
    [
        (b"{}\n", b"{}", "a line end was removed"),
        (b'{\n"a":1}', b'{\r\n"a":1}', "line ends became CR LF"),
        (b'{"a": "\\u00e7"}', '{"a":"ç"}'.encode(), "serialised anew"),
        (b'{"a":"\\u00e7"}', '{"a":"ç"}'.encode(), "serialised anew"),
    ],
)
def test_so_is_what_was_done_to_bodies_of_others(signed: bytes, received: bytes, told: str) -> None:
    found = answer(request(body=signed), body=received)
    assert (found.reason, told in found.message) == ("body_changed", True), found.message


@pytest.mark.parametrize("body", [b"", b"\xff", b"no JSON", b"[" * 600 + b"]" * 600, b"[" * 2_000])
def test_a_body_of_any_bytes_is_judged(body: bytes) -> None:
    assert reason(request(body=body), body=body) == "ok"
    assert reason(request(), body=body) == "no_match"


def test_a_public_key_for_a_shared_secret_and_the_reverse_are_told_apart_from_a_wrong_key() -> None:
    one, other = answer(request(PAIR)), answer(request(), verifier=HELD_PUBLIC)
    assert (one.reason, other.reason) == ("version", "version")
    assert "signed with v1a, and a shared secret (v1)" in one.message
    assert "signed with v1, and a public key (v1a)" in other.message


@pytest.mark.parametrize("text", ["v2,AAAA", "nonsense", "V1,AAAA"])
def test_an_unknown_version_is_no_signature(text: str) -> None:
    assert reason(request(signature=text)) == "version"


@pytest.mark.parametrize("text", ["v1,", "v1", "v1,====", "v1,plaça", "v1,AAAA", "v1,A,B", "v1, x"])
def test_a_signature_of_any_text_is_refused_and_nothing_breaks(text: str) -> None:
    assert reason(request(signature=text)) == "no_match"
    v1a = text.replace("v1", "v1a")
    assert reason(request(signature=v1a), verifier=HELD_PUBLIC) == "no_match"


@given(st.dictionaries(st.sampled_from(["id", "timestamp", "signature"]), st.text()), st.binary())
def test_headers_of_any_text_are_refused_and_nothing_breaks(
    changed: dict[str, str], body: bytes
) -> None:
    for verifier in (HELD, HELD_PUBLIC):
        assert not answer(request(**changed), body=BODY + b"x" + body, verifier=verifier).valid


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("whpk_AAAA", "32 bytes, this one 3"),
        ("whpk_?", "base64"),
        ("whpk_plaça", "base64"),
        ("whsec_AAAA", "24 to 64"),
        ("", "24 to 64"),
    ],
)
def test_a_key_that_is_none_says_why(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse(text)


def test_both_kinds_of_key_are_told_by_their_prefix() -> None:
    assert parse("whsec_" + base64.b64encode(KEY.key).decode()) == HELD
    assert parse("whpk_" + base64.b64encode(HELD_PUBLIC.key).decode()) == HELD_PUBLIC


def test_no_message_shows_the_secret_or_the_body() -> None:
    shown = "".join(
        answer(headers, body=body).message
        for headers in (request(), request(id="x"), request(signature="v2,x"), {})
        for body in (BODY, BODY + b"\n", b"{}")
    )
    assert base64.b64encode(KEY.key).decode() not in shown
    assert "plaça" not in shown
