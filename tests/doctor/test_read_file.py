"""Files are recognised by what is in them, and hostile ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.logs import cassette
from doctor.setups import file, files, findings
from kvassay.doctor.gather import gather
from kvassay.doctor.read_file import read_file
from kvassay.doctor.reading import pair
from kvassay.errors import ConfigError

COMPOSE = """
services:
  web: {image: nginx}
  llama:
    image: ghcr.io/ggml-org/llama.cpp:${TAG:-server-cuda-b10488}
    command: [--cache-type-k, q8_0, -c, "8192"]
    environment: [LLAMA_ARG_CACHE_TYPE_V=q4_0, LLAMA_ARG_NO_SUCH]
  ollama:
    image: ollama/ollama
    environment: {OLLAMA_KV_CACHE_TYPE: q8_0, OLLAMA_FLASH_ATTENTION: false}
"""
UNIT = """
[Unit]
Description=x
[Service]
Environment="LLAMA_ARG_CACHE_TYPE_V=q8_0" A=b
ExecStart=/usr/bin/llama-server -m m.gguf \\
  -ctk q8_0
"""
SWAP = """
macros: {bin: "/opt/llama-server --port ${PORT}"}
models:
  one: {cmd: "${bin} -ctk q8_0"}
  two:
    cmd: |
      ${bin}
      -ctk q4_0
    env: [LLAMA_ARG_CACHE_TYPE_V=q8_0]
"""
SCRIPT = """#!/bin/sh
# start
export LLAMA_ARG_CACHE_TYPE_V=q8_0
TYPE=q4_0
exec llama-server -m "$HOME/m.gguf" \\
  -ctk ${TYPE}
"""
LM_STUDIO = """{"load": {"fields": [
 {"key": "llm.load.llama.kCacheQuantizationType", "value": {"checked": true, "value": "q8_0"}},
 {"key": "llm.load.llama.vCacheQuantizationType", "value": {"checked": false, "value": "q4_0"}},
 {"key": "llm.load.llama.flashAttention", "value": true}]}}"""


def test_a_compose_file_holds_one_set_up_for_each_back_end() -> None:
    """Variables with defaults are filled in; other services are left out."""
    llama, ollama = files(COMPOSE)
    assert (llama.label, str(pair(llama)), llama.value("build")) == ("llama", "q8_0/q4_0", "10488")
    assert (ollama.engine, str(pair(ollama)), ollama.value("flash_attention")) == ("ollama", "q8_0/q8_0", "off")
    assert "ollama-flash-attention" in findings(ollama)


def test_fixes_are_written_as_the_file_writes_them() -> None:
    """A compose file's command, a unit's ExecStart, a variable of each."""
    llama, ollama = files(COMPOSE)
    assert str(findings(llama)["attention-on-cpu"].fix).splitlines() == [
        "- LLAMA_ARG_CACHE_TYPE_V=q8_0",
    ]
    assert findings(ollama)["ollama-flash-attention"].fix == "OLLAMA_FLASH_ATTENTION: 1"
    listed = file("services:\n  o:\n    image: ollama/ollama\n    environment: [OLLAMA_KV_CACHE_TYPE=q4_0]\n")
    assert findings(listed)["low-precision-k"].fix == "- OLLAMA_KV_CACHE_TYPE=q8_0"
    unit = file(UNIT.replace("-ctk q8_0", "-ctk q4_0"))
    assert findings(unit)["low-precision-k"].fix == "ExecStart=/usr/bin/llama-server -m m.gguf -ctk q8_0"


@pytest.mark.parametrize(
    ("entrypoint", "arguments", "fix"),
    [
        ("/app/llama-server", "-ctk q4_0", "command: -ctk q8_0"),
        ("[/app/llama-server, -np, '1']", "[-ctk, q4_0]", "entrypoint: /app/llama-server -np 1 -ctk q8_0\ncommand: []"),
        (
            "[sh, -c]", "['llama-server -ctk q4_0 > log']",
            "entrypoint: sh -c 'llama-server -ctk q8_0 > log'\ncommand: []",
        ),
        ("''", "[-ctk, q4_0, --alias, 'a: b']", "command: >-\n  -ctk q8_0 --alias 'a: b'"),
    ],
)  # fmt: skip
def test_a_fix_stands_beside_the_entry_point(entrypoint: str, arguments: str, fix: str) -> None:
    """Not the program twice, and YAML that is one text."""
    text = f"services:\n  a:\n    image: llama.cpp\n    entrypoint: {entrypoint}\n    command: {arguments}\n"
    assert findings(file(text))["low-precision-k"].fix == fix


def test_variables_from_another_file_are_not_taken_for_defaults() -> None:
    """The default holds unless it says otherwise."""
    unit = file(UNIT.replace("A=b", "A=b\nEnvironmentFile=/etc/default/llama"))
    assert unit.facts["flash_attention"].how == "default, unless LLAMA_ARG_FLASH_ATTN is set"
    compose = file("services:\n  a: {image: llama.cpp, env_file: .env, command: -c 1}\n")
    assert compose.facts["k_type"].how == "default, unless LLAMA_ARG_CACHE_TYPE_K is set"


def test_a_unit_is_read_with_its_variables() -> None:
    """Continued lines are one line."""
    assert str(pair(file(UNIT))) == "q8_0/q8_0"


def test_a_drop_in_without_a_command_says_only_what_it_says() -> None:
    """No default is claimed of a command that was not seen."""
    setup = file('[Service]\nEnvironment="OLLAMA_KV_CACHE_TYPE=q8_0"\n')
    assert (setup.engine, dict(setup.facts).keys()) == ("ollama", {"kv_type"})


def test_llama_swap_is_read_with_its_macros() -> None:
    """Each model is a set-up."""
    assert [(one.label, str(pair(one))) for one in files(SWAP)] == [("one", "q8_0/f16"), ("two", "q4_0/q8_0")]


def test_a_script_is_read_with_its_exports() -> None:
    """Comments are none of its commands."""
    assert str(pair(file(SCRIPT, "run.sh"))) == "q4_0/q8_0"


def test_a_scripts_own_variables_are_filled_in_and_only_exported_ones_reach_the_server() -> None:
    """A variable that holds several flags is several words; one that is not known leaves the defaults open."""
    text = 'ARGS="-ctk q8_0 -c 4096"\nLLAMA_ARG_CACHE_TYPE_V=q4_0\nllama-server -m $DIR/m.gguf $ARGS\n'
    assert str(pair(file(text))) == "q8_0/f16"
    unknown = file("llama-server -m m.gguf $ARGS\n")
    assert "unless a variable" in unknown.facts["k_type"].how
    assert "parallel-auto" not in findings(unknown)


def test_a_batch_file_is_read() -> None:
    """Carets continue a line, and backslashes are parts of paths."""
    setup = file("@echo off\r\nC:\\ai\\llama-server.exe -m C:\\m\\x.gguf ^\r\n -ctk q8_0\r\n", "run.bat")
    assert (setup.value("model"), str(pair(setup))) == ("C:\\m\\x.gguf", "q8_0/f16")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('@echo off\nset "LLAMA_ARG_CACHE_TYPE_K=q4_0"\nset CTX=8192\nllama-server.exe -c %CTX%\n', "run.bat"),
        ('$env:LLAMA_ARG_CACHE_TYPE_K = "q4_0"\n& llama-server -c 8192\n', "run.ps1"),
    ],
)
def test_variables_of_windows_scripts_reach_the_server(text: str, name: str) -> None:
    """Those of cmd and of PowerShell."""
    setup = file(text, name)
    assert (str(pair(setup)), setup.value("context")) == ("q4_0/f16", "8192")


def test_variables_alone_are_read() -> None:
    """An .env file."""
    setup = file("# x\nOLLAMA_KV_CACHE_TYPE=q4\nOLLAMA_NUM_PARALLEL='2'\n", ".env")
    assert setup.engine == "ollama"
    assert {"ollama-unchecked", "ollama-context"} <= findings(setup).keys()


def test_tabby_is_read() -> None:
    """Model and draft; numbers are no problem."""
    setup = file("model:\n  cache_mode: 8,4\n  cache_size: 1000\ndraft_model:\n  draft_cache_mode: Q8\n", "config.yml")
    assert (setup.engine, setup.value("draft_cache_mode"), setup.number("cache_size")) == ("exllamav3", "Q8", 1000)


def test_lm_studio_is_read_in_both_forms() -> None:
    """A field counts where its box is ticked."""
    assert str(pair(file(LM_STUDIO))) == "q8_0/f16"
    flat = file('{"llamaKCacheQuantizationType": false, "llamaVCacheQuantizationType": "q4_0", "flashAttention": true}')
    assert str(pair(flat)) == "f16/q4_0"


def test_koboldcpp_and_llama_cpp_python_are_read() -> None:
    """Their own JSON files."""
    assert str(pair(file('{"model_param": "m.gguf", "quantkv": 1, "flashattention": true}'))) == "q8_0/q8_0"
    assert str(pair(file('{"model_param": "m.gguf", "quantkv": 1, "flashattention": false}'))) == "q8_0/f16"
    today = '{"quantkv": "q5_1", "flashattention": false, "noflashattention": false}'
    assert str(pair(file(today))) == "q5_1/q5_1"
    two = files('{"models": [{"model": "a", "type_k": 8}, {"model": "b", "type_v": 2, "flash_attn": true}]}')
    assert [str(pair(one)) for one in two] == ["q8_0/f16", "f16/q4_0"]


@pytest.mark.parametrize(
    ("name", "text", "fix"),
    [
        ("a.ps1", '$env:OLLAMA_KV_CACHE_TYPE = "q4_0";\nollama serve\n', '$env:OLLAMA_KV_CACHE_TYPE = "q8_0"'),
        ("b.ps1", '$env:OLLAMA_KV_CACHE_TYPE="q4_0"; ollama serve', '$env:OLLAMA_KV_CACHE_TYPE="q8_0" ; ollama serve'),
        ("c.bat", 'set "OLLAMA_KV_CACHE_TYPE=q4_0"\nollama serve\n', "set OLLAMA_KV_CACHE_TYPE=q8_0"),
        ("d.bat", "set OLLAMA_KV_CACHE_TYPE=q4_0 && ollama serve", "set OLLAMA_KV_CACHE_TYPE=q8_0 && ollama serve"),
    ],
)
def test_a_script_for_windows_sets_variables_in_its_own_way(name: str, text: str, fix: str) -> None:
    """On a line of their own, or before the command; the fix is written so, too."""
    assert findings(file(text, name))["low-precision-k"].fix == fix


def test_a_comment_within_a_line_of_a_unit_hides_nothing() -> None:
    """Systemd leaves it out and goes on."""
    unit = "[Service]\nExecStart=/bin/llama-server -c 4096 \\\n  # -ctk q4_0 \\\n  -ctk q8_0 \\\n  -ctv q4_0\n"
    assert str(pair(file(unit, "llama.service"))) == "q8_0/q4_0"


def test_tabbyapis_variables_are_read() -> None:
    """TABBY_, the section and the setting (common/tabby_config.py), as containers are configured."""
    service = (
        "services:\n  t:\n    image: ghcr.io/theroyallab/tabbyapi\n    environment:\n      TABBY_MODEL_CACHE_MODE: "
    )
    assert file(service + "8,4\n").value("cache_mode") == "8,4"
    assert findings(file(service + "q8\n"))["cache-mode-form"].fix == "TABBY_MODEL_CACHE_MODE: Q8"


def test_arguments_that_a_script_collects_are_read() -> None:
    """In an array, on lines with comments, added to, with the script's variables in it."""
    text = (
        'MODEL=/m/x.gguf\nARGS=(\n  -m "$MODEL"  # the model\n  -ctk q4_0\n)\nif [ -n "$V" ]; then\n'
        '  ARGS+=(-ctv q8_0)\nfi\nexec llama-server "${ARGS[@]}" -c 8192\n'
    )
    setup = file(text, "start.sh")
    assert (str(pair(setup)), setup.value("model"), setup.value("context")) == ("q4_0/q8_0", "/m/x.gguf", "8192")


def test_what_an_unknown_array_holds_is_not_claimed_to_be_missing() -> None:
    """There may be an -np and a -c in it."""
    setup = file('source args.sh\nllama-server "${ARGS[@]}"\n', "start.sh")
    assert not {"parallel-auto", "fit-keeps-types"} & findings(setup).keys()


def test_variables_are_read_without_their_comments() -> None:
    """Behind a value, quoted or not."""
    setup = file('LLAMA_ARG_CACHE_TYPE_K="q4_0"   # low\nLLAMA_ARG_CACHE_TYPE_V=q8_0 # high\n', "a.env")
    assert str(pair(setup)) == "q4_0/q8_0"


def test_a_vllm_file_is_read() -> None:
    """Its keys are the flags without dashes; keys are kept secret."""
    setup = file("model: a/b\nkv_cache_dtype: fp8\napi-key: hunter2\n")
    assert "vllm-scales" in findings(setup)
    assert "hunter2" not in repr(setup)


@pytest.mark.parametrize("name", ["b11549_q8_0_q4_0", "b11434_norot", "written_from_sources_old"])
def test_logs_are_recognised(name: str) -> None:
    """Of several builds."""
    assert file(cassette(name), "x.log").log is not None


def test_ollamas_log_holds_the_command_of_its_child() -> None:
    """And the child's lines are read back."""
    text = (
        'time=x level=INFO msg="starting llama-server" cmd="/usr/lib/ollama/llama-server --model /m -c 4096 '
        '--cache-type-k q8_0 --cache-type-v q8_0 --port 1234"\n'
        "llama_kv_cache: size = 2.44 MiB ( 2048 cells, 3 layers, 1/1 seqs), K (q8_0): 1.59 MiB, V (q8_0): 0.84 MiB\n"
    )
    setup = file(text, "ollama.log")
    assert str(pair(setup)) == "q8_0/q8_0"
    assert (setup.engine, setup.value("kv_type")) == ("ollama", "q8_0")
    low = findings(file(text.replace("q8_0", "q4_0"), "ollama.log"))["low-precision-k"]
    assert low.fix == "OLLAMA_KV_CACHE_TYPE=q8_0"


def test_ollamas_log_tells_its_variables_before_a_model_is_loaded() -> None:
    """What it says of flash attention is no setting: false stands there where none was set."""
    text = (
        'time=x level=INFO source=routes.go:1 msg="server config" env="map[OLLAMA_CONTEXT_LENGTH:0 '
        "OLLAMA_FLASH_ATTENTION:false OLLAMA_KV_CACHE_TYPE:q4 OLLAMA_NUM_PARALLEL:2 OLLAMA_ORIGINS:[http://localhost "
        'https://localhost]]"\n'
    )
    setup = file(text, "ollama.log")
    assert {name: fact.value for name, fact in setup.facts.items()} == {"kv_type": "q4", "parallel": "2"}
    assert {"ollama-unchecked", "ollama-context"} == findings(setup).keys()
    unset = file(text.replace("OLLAMA_KV_CACHE_TYPE:q4", "OLLAMA_KV_CACHE_TYPE:"), "ollama.log")
    assert unset.value("kv_type") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no kind"),
        (b"hello, I am a letter\n", "no kind"),
        (b"\x00\x01\x02GGUF", "no text"),
        (b"services:\n  web: {image: nginx}\n", "no back end"),
        (b"[Service]\nExecStart=/bin/true\n", "no back end"),
        (b'{"a": ' * 30_000, "nested"),
        (b"[" * 100_000, "nested"),
        (b"- x: 1\n" * 200_000, "no kind"),
        (b"a: &a [x]\nb: [*a, *a]\n", "no kind"),
        (b"a: " + b"{b: " * 5_000, "nested"),
    ],
)
def test_other_files_are_refused_with_the_reason(tmp_path: Path, content: bytes, words: str) -> None:
    """One clear message."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        read_file(tmp_path / "x")


QUADLET = """
[Unit]
Description=llama

[Container]
Image=ghcr.io/ggml-org/llama.cpp:server-cuda-b9000
Environment=LLAMA_ARG_CACHE_TYPE_K=q4_0 A=b
# a word in between
Exec=-m /models/m.gguf \\
  -ctv q8_0 -c 32k

[Service]
Restart=always
"""


def test_a_quadlet_runs_what_its_image_does_with_the_words_of_exec() -> None:
    """Fixes are written as it writes them."""
    setup = file(QUADLET, "llama.container")
    assert (setup.value("k_type"), setup.value("v_type"), setup.value("build")) == ("q4_0", "q8_0", "9000")
    fixes = findings(setup)
    assert fixes["number-cut-short"].fix == "Exec=-m /models/m.gguf -ctv q8_0 -c 32768"
    assert fixes["low-precision-k"].fix == 'Environment="LLAMA_ARG_CACHE_TYPE_K=q8_0"'


def test_a_quadlet_of_something_else_is_refused_and_its_drop_in_is_read() -> None:
    with pytest.raises(ConfigError, match="is a podman quadlet, but no back end"):
        files("[Container]\nImage=docker.io/library/nginx\n")
    assert file("[Container]\nEnvironment=OLLAMA_KV_CACHE_TYPE=q8_0\n").value("kv_type") == "q8_0"


def test_a_unit_s_other_sections_are_not_its_service() -> None:
    assert files(
        "[Container]\nEnvironment=OLLAMA_KV_CACHE_TYPE=q8_0\n[Service]\nEnvironment=LLAMA_ARG_CACHE_TYPE_K=q4_0\n"
    )[0].facts.keys() == {"kv_type"}


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("@echo off\nrem lasts\nsetx OLLAMA_KV_CACHE_TYPE q8\n", "setx OLLAMA_KV_CACHE_TYPE q8_0"),
        ('setx /M OLLAMA_KV_CACHE_TYPE "q8"', "setx OLLAMA_KV_CACHE_TYPE q8_0"),
        ("set OLLAMA_KV_CACHE_TYPE=q8", "set OLLAMA_KV_CACHE_TYPE=q8_0"),
        ('$env:OLLAMA_KV_CACHE_TYPE = "q8"', '$env:OLLAMA_KV_CACHE_TYPE = "q8_0"'),
        ("launchctl setenv OLLAMA_KV_CACHE_TYPE q8", "launchctl setenv OLLAMA_KV_CACHE_TYPE q8_0"),
        ("export OLLAMA_KV_CACHE_TYPE=q8", "OLLAMA_KV_CACHE_TYPE=q8_0"),
        ('setx.exe "OLLAMA_KV_CACHE_TYPE" "q8" /m', "setx OLLAMA_KV_CACHE_TYPE q8_0"),
        ("$env:OLLAMA_KV_CACHE_TYPE = “q8”", '$env:OLLAMA_KV_CACHE_TYPE = "q8_0"'),
    ],
)
def test_variables_alone_are_read_however_they_are_set(text: str, fix: str) -> None:
    """As a file and as what follows ``doctor``; a fix is written as they are."""
    (pasted,) = gather([text])
    for setup in (file(text), pasted):
        assert setup.value("kv_type") == "q8"
        assert findings(setup)["ollama-unchecked"].fix == fix


def test_a_line_may_set_several_variables_but_no_command_is_a_value() -> None:
    for words in (["OLLAMA_KV_CACHE_TYPE=q8_0", "A='b c'"], ["export OLLAMA_KV_CACHE_TYPE=q8_0 A='b c'"]):
        (setup,) = gather(words)
        assert setup.value("kv_type") == "q8_0"
    with pytest.raises(ConfigError, match="started by 'systemctl'"):
        gather(["OLLAMA_KV_CACHE_TYPE=q8_0 systemctl restart ollama"])


def test_an_empty_environment_takes_back_those_before_it() -> None:
    unit = "[Service]\nEnvironment=OLLAMA_KV_CACHE_TYPE=q8_0\nEnvironment=\nEnvironment=OLLAMA_NUM_PARALLEL=2\n"
    assert file(unit).facts.keys() == {"parallel"}


@pytest.mark.parametrize(
    "text",
    [
        "[Container]\nImage=ghcr.io/ggml-org/llama.cpp:server\nExec=-m m.gguf –ctk q4_0 --api-key “hunter2”\n",
        "services:\n  a:\n    image: ghcr.io/ggml-org/llama.cpp:server\n    command: –ctk q4_0 --api-key “hunter2”\n",
    ],
)
def test_typographic_marks_behind_an_image_are_read_as_what_they_stand_for(text: str) -> None:
    setup = file(text)
    assert setup.value("k_type") == "q4_0"
    assert findings(setup)["typographic-marks"].fix
    assert "hunter2" not in repr(setup)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["docker", "compose", "up"], "compose file"),
        (["sudo", "systemctl", "restart", "ollama"], "systemctl cat"),
        (["Exec=-m m.gguf -ctk q4_0"], "whole .container file"),
        (["setx", "PATH", "x"], "It knows llama-server"),
    ],
)
def test_what_says_not_what_runs_is_refused_with_where_to_look(words: list[str], hint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        gather(words)
    assert hint in (refused.value.hint or "")


def test_a_line_of_a_unit_is_the_command_behind_it() -> None:
    (setup,) = gather(["ExecStart=-/usr/bin/llama-server -m m.gguf -ctk q4_0"])
    assert (setup.engine, setup.value("k_type")) == ("llama.cpp", "q4_0")


def test_broken_yaml_is_no_script(tmp_path: Path) -> None:
    """Though a program is named in it."""
    (tmp_path / "compose.yml").write_text("services:\n  a:\n    command: llama-server -c 1 --x 'a: {b: 1}'\n")
    with pytest.raises(ConfigError, match="syntax"):
        read_file(tmp_path / "compose.yml")


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    """A directory is no file."""
    with pytest.raises(ConfigError, match="can't be read"):
        read_file(tmp_path)


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else than a ConfigError."""
    try:
        files(text)
    except ConfigError:
        return


@given(st.sampled_from([COMPOSE, UNIT, QUADLET, SWAP, SCRIPT, LM_STUDIO]), st.data())
def test_any_piece_of_a_real_file_is_read_or_refused(text: str, data: st.DataObject) -> None:
    """Cut off anywhere."""
    cut = data.draw(st.integers(0, len(text)))
    try:
        for setup in files(text[:cut]):
            findings(setup)
    except ConfigError:
        return
