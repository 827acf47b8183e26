"""Settings are checked once, and every refusal names the field, the value and what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvassay.assay.prepare import questions_of
from kvassay.errors import ConfigError
from kvassay.settings import check, read
from kvassay.units import tokens


@pytest.mark.parametrize(("text", "value"), [("8192", 8192), ("8k", 8192), ("64K", 65536), ("1m", 1048576), (300, 300)])
def test_tokens_are_read_as_people_write_them(text: object, value: int) -> None:
    """K is 1024, as in the field's context sizes."""
    assert tokens(text) == value


def test_depths_are_sorted_and_distinct() -> None:
    """The ladder is climbed upwards, each rung once."""
    assert check({"depths": "8k,2k,8192"}).depths == (2048, 8192)


@pytest.mark.parametrize(
    ("values", "backend"),
    [
        ({}, "embedded"),
        ({"attach": ["f16=http://a"]}, "attach"),
        ({"server_binary": "llama-server"}, "llama-server"),
        ({"server_args": ["--no-mmap"]}, "llama-server"),
    ],
)
def test_the_back_end_follows_from_what_is_said_of_it(values: dict[str, object], backend: str) -> None:
    """In a settings file as on the command line; stored settings are read back as they were."""
    settings = check(values)
    assert settings.backend == backend
    assert check(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"depths": "2k,eight"}, "'eight' is not a number of tokens"),
        ({"depths": "0"}, "greater than 0"),
        ({"probes_per_family": 0}, "probes_per_family = 0"),
        ({"margin": 2}, "margin = 2"),
        ({"backend": "vllm"}, "backend = 'vllm'"),
        ({"channels": "raw,cooked"}, "cooked"),
        ({"no_such": 1}, "no_such"),
        ({"depths": ""}, "depths"),
        ({"backend": "attach"}, "--attach K/V=URL"),
        ({"backend": "embedded", "attach": ["f16=http://a"]}, "give both or neither"),
        ({"backend": "embedded", "server_binary": "llama-server"}, "llama-server does"),
        ({"attach": ["f16=http://a"], "server_args": ["-x"]}, "llama-server does"),
    ],
)
def test_wrong_values_are_named(values: dict[str, object], words: str) -> None:
    """The message holds the field or the value, no traceback, no pydantic link."""
    with pytest.raises(ConfigError, match=words) as caught:
        check(values)
    assert "pydantic" not in str(caught.value)


def test_a_wrong_item_is_told_once() -> None:
    """Not again as a list that is too short without it; other faults are told beside it."""
    with pytest.raises(ConfigError) as caught:
        check({"depths": "0,4k", "seed": -1})
    assert caught.value.message.splitlines() == [
        "depths.0 = '0': Input should be greater than 0",
        "seed = -1: Input should be greater than or equal to 0",
    ]


def test_a_corpus_without_sources_is_refused_before_a_server_starts(tmp_path: Path) -> None:
    """Everything that needs no model is checked first."""
    with pytest.raises(ConfigError, match="source"):
        questions_of(check({"corpus": str(tmp_path)}))


def test_a_settings_file_is_read_with_dashes_or_underscores(tmp_path: Path) -> None:
    """TOML keys are the flags' names."""
    (tmp_path / "k.toml").write_text('depths = ["2k", 4096]\nmax-tokens = 99\n')
    assert check(read(tmp_path / "k.toml")).max_tokens == 99


@pytest.mark.parametrize("content", [b"depths = [", b"\xff\xfe"])
def test_a_broken_settings_file_is_named(tmp_path: Path, content: bytes) -> None:
    """Neither broken TOML nor broken text is a traceback."""
    (tmp_path / "k.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"k\.toml"):
        read(tmp_path / "k.toml")


def test_in_process_there_is_only_the_raw_channel() -> None:
    """In process there is no chat endpoint: raw is the default, the parsed channel is refused; layers are its alone."""
    assert check({"backend": "transformers"}).channels == ("raw",)
    assert check({}).channels == ("raw", "parsed")
    with pytest.raises(ConfigError, match="raw is all it has"):
        check({"backend": "transformers", "channels": "parsed"})
    with pytest.raises(ConfigError, match="takes no device"):
        check({"device": "cuda"})


def test_an_unknown_name_in_a_settings_file_is_met_with_those_that_there_are() -> None:
    """Settings aren't called as the flags are: ``kv`` is ``pairs``, ``probes`` is ``probes_per_family``."""
    with pytest.raises(ConfigError, match=r"kv = 'q8_0': no setting has this name; .*\bpairs\b.*probes_per_family"):
        check({"kv": "q8_0"})


def test_a_settings_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """Editors and shells of Windows write one."""
    (tmp_path / "k.toml").write_bytes(b"\xef\xbb\xbfseed = 3\n")
    assert read(tmp_path / "k.toml") == {"seed": 3}


@pytest.mark.parametrize(
    ("line", "command"), [("turns = 5", "loops"), ('agent = "pi"', "loops"), ('replay = {session = "s"}', "replay")]
)
def test_what_is_a_command_of_its_own_is_refused_in_a_settings_file(tmp_path: Path, line: str, command: str) -> None:
    """A run of probes that its store calls closed loops could never be reported; a sweep can't replay."""
    (tmp_path / "k.toml").write_text(line)
    with pytest.raises(ConfigError, match=f" is for 'kvassay {command}'"):
        read(tmp_path / "k.toml")
