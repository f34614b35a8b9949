"""Nobody makes us call our own network, however the address is written."""

import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.deliver.addresses import HTTP_SETTING, MAX_URL, SETTING, AddressPolicy

STRICT = AddressPolicy()
OPEN = AddressPolicy(allow_networks=["127.0.0.0/8", "::1/128", "10.1.0.0/16"], allow_http=True)


def codes(url: object, policy: AddressPolicy = STRICT) -> list[str]:
    return [fault.code for fault in policy.url_faults(url, pointer="/url")]


# Addresses


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("0.0.0.0", "unspecified"),  # noqa: S104 - to be refused
        ("0.1.2.3", "unspecified"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("10.0.0.7", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "CGNAT"),
        ("100.127.255.255", "CGNAT"),
        ("169.254.1.1", "link-local"),
        ("169.254.169.254", "metadata"),
        ("192.0.0.1", "reserved"),
        ("192.0.2.1", "documentation"),
        ("192.88.99.1", "reserved"),
        ("198.18.0.1", "benchmarking"),
        ("198.19.255.255", "benchmarking"),
        ("198.51.100.1", "documentation"),
        ("203.0.113.1", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("fc00::1", "private"),
        ("fd00:ec2::254", "private"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("febf::1", "link-local"),
        ("fec0::1", "private"),
        ("ff02::1", "multicast"),
        ("100::1", "discard"),
        ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"),
        ("5f00::1", "reserved"),
        ("1::1", "reserved"),
        ("4000::1", "reserved"),
        ("::1:0:0:1", "reserved"),
        # addresses that carry others
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:a9fe:a9fe", "metadata"),
        ("::ffff:10.0.0.7", "private"),
        ("::127.0.0.1", "loopback"),
        ("::ffff:0:127.0.0.1", "reserved"),
        ("64:ff9b::127.0.0.1", "loopback"),
        ("64:ff9b::169.254.169.254", "metadata"),
        ("64:ff9b:1::10.0.0.7", "local NAT64"),
        ("64:ff9b:1:7f00:0:100:808:808", "local NAT64"),
        ("2002:7f00:1::", "loopback"),
        ("2002:a00:7::1", "private"),
        ("2001:0:808:808::80ff:fffe", "reserved"),
    ],
)
def test_what_is_not_public_is_refused_with_its_kind_and_the_setting(
    address: str, kind: str
) -> None:
    refused = STRICT.refusal(address)
    assert refused is not None
    assert kind in refused
    assert SETTING in refused


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_what_is_public_may_be_called(address: str) -> None:
    assert STRICT.refusal(address) is None


v4 = st.ip_addresses(v=4)
v6 = st.ip_addresses(v=6)


@given(v4)
@example(IPv4Address("192.0.0.9"))
def test_no_address_that_python_calls_anything_but_global_may_be_called(
    address: IPv4Address,
) -> None:
    if not address.is_global or address.is_multicast:
        assert STRICT.refusal(str(address)) is not None


@given(v6)
def test_nor_does_one_of_the_newer_kind(address: IPv6Address) -> None:
    carried = address.ipv4_mapped or address.sixtofour
    if carried is None and (not address.is_global or address.is_multicast):
        assert STRICT.refusal(str(address)) is not None
    if address not in ipaddress.ip_network("2000::/3") and carried is None:
        is_nat64 = address in ipaddress.ip_network("64:ff9b::/96")
        assert is_nat64 or int(address) < 2**32 or STRICT.refusal(str(address)) is not None


@given(v4 | st.sampled_from([IPv4Address("127.0.0.1"), IPv4Address("10.0.0.7")]))
def test_an_address_within_another_is_refused_as_it_would_be_by_itself(
    address: IPv4Address,
) -> None:
    number = int(address)
    carriers = [
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address(0x64_FF9B << 96 | number),
        IPv6Address(0x2002 << 112 | number << 80 | 1),
    ]
    if number > 1:
        carriers.append(IPv6Address(number))
    alone = STRICT.refusal(str(address)) is None
    assert [STRICT.refusal(str(carrier)) is None for carrier in carriers] == [alone] * len(carriers)


# What a setting allows


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.1.2.3", True),
        ("64:ff9b::10.1.2.3", True),
        ("10.2.0.1", False),
        ("::ffff:10.2.0.1", False),
        ("169.254.169.254", False),
        ("8.8.8.8", True),
    ],
)
def test_a_setting_allows_its_networks_and_no_others(address: str, allowed: bool) -> None:  # noqa: FBT001
    assert (OPEN.refusal(address) is None) == allowed


def test_an_allowed_address_carried_along_does_not_open_the_way_to_another() -> None:
    server, client = IPv4Address("10.1.0.1"), IPv4Address("169.254.169.254")
    teredo = IPv6Address(0x2001_0000 << 96 | int(server) << 64 | (int(client) ^ 0xFFFF_FFFF))
    assert teredo.teredo == (server, client)
    assert OPEN.refusal(str(teredo)) is not None


def test_a_carrier_can_be_allowed_as_a_whole() -> None:
    policy = AddressPolicy(allow_networks=["64:ff9b:1::/48", "::ffff:0:0/96"])
    assert policy.refusal("64:ff9b:1::10.0.0.7") is None
    assert policy.refusal("::ffff:10.0.0.7") is None
    assert policy.refusal("10.0.0.7") is not None


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/",
        "https://hooks.example.com:8443/a/b?c=d&e=%20",
        "https://EXAMPLE.com./x",
        "https://xn--plaa-1oa.example/",
        "https://a_b.example.com/",
        "https://1e100.net/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]:443/",
        "https://[::ffff:8.8.8.8]/",
        "HTTPS://example.com/",
    ],
)
def test_a_public_https_url_is_accepted(url: str) -> None:
    assert codes(url) == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "0x7f.1",
        "0x7F.0x0.0x0.0x1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.01",
        "127.0.0.1.",
        "127.1.",
        "0",
        "0x",
        "0.0.0.0",  # noqa: S104 - to be refused
        "10.0.0.7",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "100.64.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "some.localhost",
        "some.localhost.",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::FFFF:7F00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1%25eth0]",
        "[fd00:ec2::254]",
        "8.8.8.8.",
        "010.8.8.8",
    ],
)
@pytest.mark.parametrize("port", ["", ":8080"])
def test_no_way_to_write_our_own_network_is_accepted(host: str, port: str) -> None:
    assert codes(f"https://{host}{port}/hook") == ["refused_address"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1%25x",
        "8.8.8.8%25.example.com",
        "%31%32%37.0.0.1",
        "127.0.0.1%2f.example.com",
        "-example.com",
        "example-.com",
        "a..b",
        ".",
        "..",
        "exa$mple.com",
        "example.com,127.0.0.1",
        "*.example.com",
        "a" * 64 + ".example.com",
        ".".join(["a" * 60] * 4) + ".example.com",
    ],
)
def test_what_is_no_host_name_is_no_host(host: str) -> None:
    assert codes(f"https://{host}/hook") == ["host"]


@pytest.mark.parametrize(
    "host", ["a" * 63 + ".example.com", ".".join(["a" * 60] * 4) + ".examples.", "a.example.com."]
)
def test_a_host_name_may_be_as_long_as_the_dns_allows(host: str) -> None:
    assert codes(f"https://{host}/hook") == []


@given(st.text("0123456789abcdefABCDEFxX.", min_size=1, max_size=20))
@example("0x7f.1")
@example("0177.0.0.1")
@example("1.2.3.4.")
def test_whatever_the_system_would_read_as_an_address_is_judged_as_one(host: str) -> None:
    try:
        address = socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return
    if host != address or STRICT.refusal(address) is not None:
        assert codes(f"https://{host}/") == ["refused_address"]
    else:
        assert codes(f"https://{host}/") == []


@given(v4)
def test_an_address_in_a_url_is_refused_as_it_is_by_itself(address: IPv4Address) -> None:
    refused = STRICT.refusal(str(address)) is not None
    assert (codes(f"https://{address}/") == ["refused_address"]) == refused


def test_an_allowed_address_is_accepted_in_a_url_but_not_in_disguise() -> None:
    assert codes("http://127.0.0.1:8080/", OPEN) == []
    assert codes("http://localhost:8080/", OPEN) == []
    assert codes("http://[::1]:8080/", OPEN) == []
    assert codes("http://2130706433/", OPEN) == ["refused_address"]
    assert codes("http://10.2.0.1/", OPEN) == ["refused_address"]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (None, "type"),
        (5, "type"),
        (["https://example.com"], "type"),
        ("https://example.com/" + "x" * MAX_URL, "limit"),
        ("", "scheme"),
        ("example.com/hook", "scheme"),
        ("//example.com/hook", "scheme"),
        ("ftp://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://example.com/", "scheme"),
        ("https:example.com", "host"),
        ("https:///hook", "host"),
        ("https://:443/", "host"),
        ("https://user:password@example.com/", "userinfo"),
        ("https://@example.com/", "userinfo"),
        ("https://example.com@evil.example/", "userinfo"),
        ("https://example.com/#part", "fragment"),
        ("https://example.com/#", "fragment"),
        ("https://example.com:0/", "port"),
        ("https://example.com:99999/", "url"),
        ("https://example.com:port/", "url"),
        ("https://[::1/", "url"),
        ("https://exämple.com/", "url"),
        ("https://①②⑦.0.0.1/", "url"),
        ("https://example.com/\r\nHost: evil", "url"),
        ("https://example.com/a b", "url"),
        ("https://example.com\\@127.0.0.1/", "url"),
        (" https://example.com/", "url"),
        ("https://example.com/\t", "url"),
        ("https://example.com/\x00", "url"),
    ],
)
def test_a_url_that_is_none_is_refused_with_its_code(url: object, code: str) -> None:
    assert code in codes(url)


def test_plain_http_is_refused_with_the_setting_that_allows_it() -> None:
    (fault,) = STRICT.url_faults("http://example.com/", pointer="/url")
    assert (fault.code, fault.pointer) == ("scheme", "/url")
    assert HTTP_SETTING in fault.message
    assert codes("http://example.com/", OPEN) == []


def test_all_faults_are_told_at_once() -> None:
    assert codes("http://user@10.0.0.7:0/#x") == [
        "scheme",
        "userinfo",
        "fragment",
        "port",
        "refused_address",
    ]


@given(st.text(max_size=60) | st.text(max_size=40).map(lambda text: f"https://{text}"))
def test_any_text_is_judged_without_an_exception(text: str) -> None:
    for fault in STRICT.url_faults(text, pointer="/url"):
        assert fault.pointer == "/url"
        assert fault.message


def test_a_url_of_the_greatest_length_is_judged() -> None:
    label = "a" * 60
    url = "https://" + ".".join([label] * 33) + "!"
    assert len(url) <= MAX_URL
    assert codes(url) == ["host"]
