"""Configuration files as Hadoop reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError
from hdfsd.base.ids import Address


def site(*rows: str) -> str:
    return f"<configuration>{''.join(rows)}</configuration>"


def row(key: str, value: str, final: bool = False) -> str:
    mark = "<final>true</final>" if final else ""
    return f"<property><name>{key}</name><value>{value}</value>{mark}</property>"


def conf_of(*texts: str, **overrides: str) -> Configuration:
    named = [(f"file{index}.xml", text) for index, text in enumerate(texts)]
    return Configuration.parse(
        named, overrides, environment={"HOME": "/h", "EMPTY": ""}, user_name="ann"
    )


def test_later_files_win_unless_an_earlier_one_is_final() -> None:
    conf = conf_of(
        site(row("a", "1"), row("b", "1", final=True), row("c", "1")),
        site(row("a", "2"), row("b", "2"), row("d", "2")),
    )
    assert [conf.get(key) for key in "abcd"] == ["2", "1", "1", "2"]
    assert [conf.source(key) for key in "abe"] == ["file1.xml", "file0.xml", "default"]


def test_overrides_win_even_over_final() -> None:
    conf = conf_of(site(row("a", "1", final=True)), a="9")
    assert (conf.get("a"), conf.source("a")) == ("9", "-D")


def test_defaults_are_hadoops_and_unknown_keys_are_unset() -> None:
    conf = conf_of()
    assert conf.get_int("dfs.replication") == 3
    assert conf.get("no.such.key") is None
    assert conf.get("no.such.key", "x") == "x"
    with pytest.raises(ConfigError, match=r"no\.such\.key is not set: write a whole number"):
        conf.get_int("no.such.key")
    assert conf.get_int("no.such.key", 7) == 7


# value, what it becomes with a=1, b=${a}2, loop=${loop}, user ann, HOME=/h, EMPTY=
SUBSTITUTIONS = [
    ("plain", "plain"),
    ("${a}", "1"),
    ("x${a}y${b}z", "x1y12z"),
    ("/tmp/hadoop-${user.name}", "/tmp/hadoop-ann"),
    ("${env.HOME}/d", "/h/d"),
    ("${env.NONE:-other}", "other"),
    ("${env.NONE-other}", "other"),
    ("${env.EMPTY:-other}", "other"),
    ("${env.EMPTY-other}", ""),
    ("${env.NONE}", "${env.NONE}"),
    ("${missing} ${a}", "${missing} ${a}"),
    ("${a", "${a"),
    ("$a", "$a"),
    ("${}", "${}"),
    ("${${name}}", "1"),
    ("${loop}", "${loop}"),
    ("${dfs.replication}", "3"),
]


@pytest.mark.parametrize(("value", "expected"), SUBSTITUTIONS)
def test_substitution(value: str, expected: str) -> None:
    conf = conf_of(
        site(row("a", "1"), row("b", "${a}2"), row("name", "a"), row("loop", "${loop}")),
        v=value,
    )
    assert (conf.get("v") or "") == expected


def test_a_circle_of_keys_is_an_error_that_names_the_key() -> None:
    conf = conf_of(site(row("a", "${b}"), row("b", "${a}")))
    with pytest.raises(ConfigError, match=r"a='\$\{b\}': more than 20 substitutions"):
        conf.get("a")


def test_twenty_substitutions_are_allowed_and_no_more() -> None:
    chain = [row(f"k{n}", f"${{k{n + 1}}}") for n in range(30)]
    assert conf_of(site(*chain[:19], row("k19", "end"))).get("k0") == "end"
    with pytest.raises(ConfigError):
        conf_of(site(*chain[:20], row("k20", "end"))).get("k0")


def test_deprecated_names_are_the_same_key() -> None:
    conf = conf_of(site(row("fs.default.name", "hdfs://x"), row("dfs.block.size", "1m")))
    assert conf.get("fs.defaultFS") == conf.get("fs.default.name") == "hdfs://x"
    assert conf.get_size("dfs.blocksize") == 1 << 20


def test_nodes_see_the_nearest_suffix() -> None:
    conf = conf_of(
        site(row("k", "0"), row("k.ns", "1"), row("k.ns.nn1", "2"), row("dfs.replication.ns", "9"))
    )
    assert conf.scoped("ns", "nn1").get("k") == "2"
    assert conf.scoped("ns", "nn2").get("k") == "1"
    assert conf.scoped("other", "nn1").get("k") == "0"
    assert conf.scoped("", "").get("k") == "0"
    assert conf.scoped("ns", "nn1").get_int("dfs.replication") == 9


VALUES = [
    ("get_int", "12", 12),
    ("get_int", " -3 ", -3),
    ("get_int", "0x1F", 31),
    ("get_float", "0.999f", 0.999),
    ("get_float", "2", 2.0),
    ("get_bool", "TRUE", True),
    ("get_bool", "false", False),
    ("get_duration_ms", "2s", 2000),
    ("get_size", "1k", 1024),
    ("get_list", " a, b ,,c", ("a", "b", "c")),
    ("get_list", "", ()),
    ("get_address", "h:1", Address("h", 1)),
    ("get_address", "[::1]:1", Address("::1", 1)),
]


@pytest.mark.parametrize(("method", "text", "expected"), VALUES)
def test_typed_values(method: str, text: str, expected: object) -> None:
    assert getattr(conf_of(k=text), method)("k") == expected


BAD = [
    ("get_int", "many", "a whole number"),
    ("get_int", "0xZZ", "a whole number"),
    ("get_int", "1.5", "a whole number"),
    ("get_float", "half", "a number"),
    ("get_bool", "yes", "true or false"),
    ("get_duration_ms", "soon", "a duration"),
    ("get_size", "big", "a size"),
    ("get_address", "nowhere", "HOST:PORT"),
    ("get_address", "h:99999", "HOST:PORT"),
]


@pytest.mark.parametrize(("method", "text", "wanted"), BAD)
def test_a_bad_value_is_named_with_its_key_source_and_remedy(
    method: str, text: str, wanted: str
) -> None:
    conf = conf_of(site(row("k", text)))
    with pytest.raises(ConfigError) as caught:
        getattr(conf, method)("k")
    message = str(caught.value)
    assert message.startswith(f"k={text!r} (file0.xml): write {wanted}")


def test_short_form_and_nested_configurations() -> None:
    text = """<?xml version="1.0"?><!-- c --><configuration>
      <property name="a" value="1"/><property name="b" value="1" final="true"/>
      <configuration><property><name> c </name><value> 2 </value><description>x</description>
      </property></configuration>
      <property><name>empty</name><value/></property><property><name>none</name></property>
    </configuration>"""
    conf = conf_of(text, site(row("b", "9")))
    assert [conf.get(k) for k in ("a", "b", "c", "empty", "none")] == ["1", "1", "2", None, None]


BROKEN = [
    ("", "not well-formed"),
    ("<configuration>", "not well-formed"),
    ("<conf/>", "the top element is <conf>"),
    ("<configuration><property><value>1</value></property></configuration>", "has no <name>"),
    (
        '<!DOCTYPE c [<!ENTITY x "y">]><configuration><property><name>a</name>'
        "<value>&x;</value></property></configuration>",
        "entities and DTDs are not read",
    ),
    (
        '<configuration xmlns:xi="http://www.w3.org/2001/XInclude">'
        '<xi:include href="other.xml"/></configuration>',
        r"xi:include of 'other\.xml' is not built: copy",
    ),
]


@pytest.mark.parametrize(("text", "cause"), BROKEN)
def test_a_file_that_is_no_configuration(text: str, cause: str) -> None:
    with pytest.raises(ConfigError, match=rf"^file0\.xml: .*{cause}"):
        conf_of(text)


GOOD = site(row("dfs.replication", "2"), row("a", "${b}", final=True), row("b", "&lt;"))


@given(st.integers(0, len(GOOD) - 1))
def test_a_torn_file_is_a_config_error(length: int) -> None:
    with pytest.raises(ConfigError, match=r"^file0\.xml: "):
        conf_of(GOOD[:length])


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        conf = conf_of(text)
    except ConfigError:
        return
    assert dict(conf.set_values())


def test_set_values_are_substituted_and_sorted() -> None:
    values = dict(conf_of(site(row("z", "${user.name}"), row("a", "1"))).set_values())
    assert values["z"] == "ann"
    assert list(values) == sorted(values)
    assert values["dfs.replication"] == "3"
