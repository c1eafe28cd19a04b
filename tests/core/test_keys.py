"""Any name is safe in a key: no two names meet, none leaves its slot, none breaks out of its part."""

from __future__ import annotations

import enum
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from aioredis_patterns._core.keys import PREFIX, Keys, check_name, check_part, escape_glob, hash_tag, slot

# Short texts of the characters that matter, so that collisions would be found.
names = st.one_of(
    st.text("{}|%:/7Bb \0\r\nä", min_size=1, max_size=6),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
)
subjects = st.one_of(st.none(), st.integers(), names)
words = st.text("{}%abc*", min_size=1, max_size=5)


def test_a_key_has_its_published_form() -> None:
    """Keys read prefix, hash tag, part, so that a person finds them in a database."""
    assert PREFIX == "arp"
    assert Keys("api").key("bucket") == "arp:{api}:bucket"
    assert Keys("api").key("bucket", "user:42") == "arp:{api|user:42}:bucket"
    assert Keys("api", prefix="shop").key("bucket", 42) == "shop:{api|42}:bucket"
    assert repr(Keys("api")) == "<Keys arp:{api}:*>"
    assert Keys("a b").name == "a b"


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        ("plain:name/1 *?[x]", "plain:name/1 *?[x]"),
        ("{}|%", "%7B%7D%7C%25"),
        ("a\r\nb\0", "a%0D%0Ab%00"),
        ("\x7f\x9b", "%7F%C2%9B"),
        ("Größe 猫", "Größe 猫"),
        ("%7B", "%257B"),
    ],
)
def test_dangerous_characters_are_percent_escaped(raw: str, escaped: str) -> None:
    """Braces, bars, percent signs and control characters become %XX; all else stays readable."""
    assert check_name(raw) == escaped
    assert check_part(raw) == escaped
    assert Keys("x").key("p", raw) == f"arp:{{x|{escaped}}}:p"
    assert Keys(raw).key("p", raw) == f"arp:{{{escaped}|{escaped}}}:p"


@given(names, subjects, names, subjects, words, words)
@settings(deadline=None)
def test_distinct_inputs_never_share_a_key(
    name: str, subject: Any, other: str, other_subject: Any, part: str, other_part: str
) -> None:
    """Two definitions, subjects or parts that differ never meet in one key; an int is its digits."""
    texts = [None if value is None else str(value) for value in (subject, other_subject)]
    assume((name, texts[0], part) != (other, texts[1], other_part))
    one = Keys(name).key(check_part(part), subject)
    two = Keys(other).key(check_part(other_part), other_subject)
    assert one != two


@given(names, subjects, words, words)
@settings(deadline=None)
def test_all_parts_of_one_tag_share_a_slot(name: str, subject: Any, part: str, other_part: str) -> None:
    """Whatever the part, all keys of one name and subject live in one slot: the slot of the hash tag."""
    keys = Keys(name)
    found = {slot(keys.key(one, subject)) for one in (part, other_part, "lock")}
    assert found == {slot(hash_tag(name, subject))}


@given(names, subjects)
@settings(deadline=None)
def test_the_hash_tag_is_what_stands_in_the_braces(name: str, subject: Any) -> None:
    """`hash_tag` is exactly what the server hashes of every key of the tag."""
    key = Keys(name).key("part", subject)
    assert key == f"arp:{{{hash_tag(name, subject)}}}:part"
    assert key.count("{") == key.count("}") == 1


@given(st.one_of(st.binary(), st.binary().map(lambda tail: b"a{" + tail), st.text("{}ab", max_size=8)))
@settings(deadline=None)
def test_slots_are_the_slots_of_redis(key: Any) -> None:
    """`slot` agrees with the cluster specification for any key, odd braces included."""
    assert slot(key) == key_slot(key.encode() if isinstance(key, str) else key)


@given(names)
@settings(deadline=None)
def test_an_escaped_key_holds_no_control_character(name: str) -> None:
    """A key is one printable line whatever the name holds."""
    key = Keys(name).key("part", name)
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in key)


@pytest.mark.parametrize("wrong", [b"name", None, 5, True, ["x"]])
def test_a_name_that_is_no_str_is_a_type_error(wrong: Any) -> None:
    """Bytes and other things are refused as names: they are not decoded by guesswork."""
    with pytest.raises(TypeError, match=r"^name must be a str, not "):
        Keys(wrong)
    with pytest.raises(TypeError, match=r"^prefix must be a str, not "):
        Keys("x", prefix=wrong)


@pytest.mark.parametrize("wrong", [b"user", True, 1.5, ["x"]])
def test_a_subject_is_a_str_or_an_int(wrong: Any) -> None:
    """Bytes, bools and floats are refused as subjects."""
    with pytest.raises(TypeError, match=r"^subject must be a str or an int, not "):
        Keys("x").key("p", wrong)
    with pytest.raises(TypeError, match=r"^member must be a str or an int, not "):
        check_part(wrong, "member")


@pytest.mark.parametrize("wrong", ["", "x" * 513, "{" * 171, "\ud800", "a\udfff{"])
def test_a_name_must_be_short_valid_text(wrong: str) -> None:
    """Empty names, names over 512 characters once escaped and lone surrogates are a ValueError."""
    with pytest.raises(ValueError, match=r"^name must be "):
        Keys(wrong)
    with pytest.raises(ValueError, match=r"^subject must be "):
        Keys("x").key("p", wrong)
    with pytest.raises(ValueError, match=r"^name must be "):
        hash_tag(wrong)


def test_the_longest_names_fit() -> None:
    """512 characters once escaped are allowed, as name and as subject."""
    assert Keys("x" * 512).key("p", "{" * 170 + "ab") == f"arp:{{{'x' * 512}|{'%7B' * 170}ab}}:p"


def test_subclasses_count_as_the_text_or_number_they_hold() -> None:
    """An enum or another str or int that prints as something else builds the key of its value."""

    class Plan(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "a plan"

    class Level(int, enum.Enum):
        LOW = 1

    assert Keys(Plan("free")).key("p", Plan("free")) == "arp:{free|free}:p"
    assert Keys("x").key("p", Level.LOW) == "arp:{x|1}:p"


def test_glob_characters_can_be_escaped_for_a_match() -> None:
    """A name inside a MATCH pattern stands for itself alone."""
    assert escape_glob(r"a*b?c[d]e\f") == r"a\*b\?c\[d\]e\\f"
    assert escape_glob("plain") == "plain"
