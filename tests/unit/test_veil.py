"""What an operator sees of what a producer sent."""

from __future__ import annotations

import time

import pytest
from pydantic import JsonValue

from tests.unit.test_mask import SECRETS
from worker.core.veil import mask_change, mask_text, mask_value


@pytest.mark.parametrize("secret", [one for one in SECRETS if one != "U024BE7LH"])
@pytest.mark.parametrize("around", ["{}", "see {} now", "<{}>", "({})", "a\nb {}\nc"])
def test_no_secret_or_address_survives_in_what_a_producer_sent(secret: str, around: str) -> None:
    """Whatever field it stands in, and in a header as in a body."""
    shown = str(mask_value({"deep": [{"note": around.format(secret)}]}))

    assert secret not in shown
    assert secret[3:-3] not in shown


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "user_password",
        "Authorization",
        "api_key",
        "access-token",
        "email",
        "addresses",
        "phone",
        "pin",
        "otp",
    ],
)
@pytest.mark.parametrize("value", ["hunter2", 1234, ["a", {"b": "c"}], {"telegram": ["1", "2"]}])
def test_what_stands_under_a_private_name_is_hidden_whole(name: str, value: JsonValue) -> None:
    """Short secrets look like any word: their name gives them away."""
    shown = str(mask_value({"data": {name: value}}))

    assert name in shown
    for part in ("hunter2", "1234", "'a'", "'c'", "'1'"):
        assert part not in shown


def test_what_is_a_name_in_what_a_producer_sent_is_masked_too() -> None:
    """A producer may key its data by addresses."""
    assert mask_value({"ada@example.org": {"https://x.example/k": 1}}) == {"<address>": {"<link>": 1}}


def test_a_change_shows_its_fields_and_none_of_the_addresses_in_a_list() -> None:
    """Three lines above stood that they are chats, which the difference does not reach."""
    change = """--- before
+++ after
@@ -3,4 +3,5 @@
     "1042",
-    "10\\"43"
+    1044,
+    -7
   ],
-  "title": "Hi"
+  "title": "Hello",
+  "email": "ada@example.org" """.rstrip()

    shown = mask_change(change)

    assert '-  "title": "Hi"\n+  "title": "Hello"' in shown
    for private in ("1042", "43", "1044", "7", "ada"):
        assert private not in shown.partition("@@\n")[2]


def test_what_an_operator_needs_stays_in_what_a_producer_sent() -> None:
    """Ids, amounts, dates and words are how trouble is understood."""
    event: dict[str, JsonValue] = {
        "order_code": "ORD-2026-000123",
        "payment_id": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
        "amount": 150000,
        "paid": True,
        "note": None,
        "at": "2026-05-04T12:00:00+07:00",
        "text": "Your stream has ended after 3 hours",
        "path": "order.shipped/user/en.txt and notifications/templates/order/shipped",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "shipping": [{"pinned": "yes"}, 0.5],
    }

    assert mask_value(event) == event


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('{"user": "ani", "password": "hunter2", "amount": 7', '{"user": "ani", "password": <hidden>, "amount": 7'),
        ("token=abc&user=ani", "token=<hidden>&user=ani"),
        ('{"email": "a\\"b c", "n": 1', '{"email": <hidden>, "n": 1'),
        ("api_key: s3cr3t", "api_key: <hidden>"),
    ],
)
def test_a_body_that_is_no_json_hides_what_has_a_private_name_too(text: str, masked: str) -> None:
    """Half a message is no reason to show its password."""
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    "bit", ["y", "a@", "1", "+1(", "token", 'token"', "a.b/", '"', "x://", 'password: "\\\\', "a-"]
)
def test_masking_a_megabyte_takes_no_longer_than_reading_it(bit: str) -> None:
    """A hostile body cannot hold up the one who looks at it."""
    text = bit * (1_000_000 // len(bit))

    began = time.monotonic()
    mask_text(text)

    assert time.monotonic() - began < 5


def test_masking_a_change_of_blank_lines_takes_no_longer_than_reading_it() -> None:
    """Nor can what an operator noted, or a mended payload."""
    began = time.monotonic()
    mask_change("  \n" * 30_000)

    assert time.monotonic() - began < 5
