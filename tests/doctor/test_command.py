"""Command lines as people write them are taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.setups import command
from kvassay.doctor.command import recognise, split
from kvassay.doctor.flags import FLAGS
from kvassay.doctor.gather import gather
from kvassay.doctor.read_command import setup_of
from kvassay.doctor.reading import changed, pair, unset
from kvassay.doctor.rules import examine
from kvassay.doctor.setup import SECRET
from kvassay.doctor.show import folded
from kvassay.errors import ConfigError
from kvassay.plan.capability_file import engines
from kvassay.types import KVConfig


@pytest.mark.parametrize(
    ("text", "engine"),
    [
        ("llama-server -m m.gguf", "llama.cpp"),
        ("/opt/llama.cpp/build/bin/llama-server", "llama.cpp"),
        (r"'C:\llama\llama-server.exe' -m m.gguf", "llama.cpp"),
        ("exec ./llama-server", "llama.cpp"),
        ("sudo nice -n 5 env A=b llama-server", "llama.cpp"),
        ("bash -lc 'cd /x && llama-server -c 4096'", "llama.cpp"),
        ("~/ik_llama.cpp/build/bin/llama-server", "ik_llama.cpp"),
        ("llama-server -khad -ctk q8_0", "ik_llama.cpp"),
        ("llama serve -m m.gguf", "llama.cpp"),
        ("docker run --gpus all ghcr.io/ggml-org/llama.cpp:server-cuda -m m.gguf", "llama.cpp"),
        ("podman run -it --rm -p 1:1 ollama/ollama", "ollama"),
        ("docker run -d --entrypoint /app/llama-server image -m x", "llama.cpp"),
        ("ollama serve", "ollama"),
        ("python koboldcpp.py --model m.gguf", "koboldcpp"),
        ("./koboldcpp-linux-x64 --quantkv 1", "koboldcpp"),
        ("python3.12 -m llama_cpp.server --model m", "llama-cpp-python"),
        ("python -m sglang.launch_server --model-path m", "sglang"),
        ("python -m vllm.entrypoints.openai.api_server --model m", "vllm"),
        ("vllm serve m", "vllm"),
        ("docker run vllm/vllm-openai:v0.33.0 --model m", "vllm"),
        ("python main.py --cache-mode 8,4", "exllamav3"),
    ],
)
def test_programs_are_recognised(text: str, engine: str) -> None:
    """Behind wrappers, shells, containers and interpreters."""
    found = recognise(split(text))
    assert found is not None
    assert found.engine == engine


@pytest.mark.parametrize(
    "text",
    [
        "ls -l",
        "python main.py --port 1",
        "docker run nginx",
        "docker run",
        "",
        "bash -c",
        "llama quantize a b",
        "llama-bench -fa 0,1",
    ],
)
def test_other_programs_are_not(text: str) -> None:
    """Nothing is guessed."""
    assert recognise(split(text)) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("llama-server -ctk q8_0 -ctv q4_0", "q8_0/q4_0"),
        ("llama-server --cache-type-k q8_0", "q8_0/f16"),
        ("llama-server --cache_type_k q8_0", "q8_0/f16"),
        ("llama-server --cache-type-v=q4_0", "f16/q4_0"),
        ("LLAMA_ARG_CACHE_TYPE_K=q5_1 llama-server", "q5_1/f16"),
        ("LLAMA_ARG_CACHE_TYPE_K=q5_1 llama-server -ctk q8_0", "q8_0/f16"),
        ("llama-server -ctk q4_0 -ctk q8_0", "q8_0/f16"),
        ("llama-server \\\n  -ctk q8_0 \\\n  -ctv q8_0", "q8_0/q8_0"),
        ("llama-server --new-flag -ctk q8_0 --other 1", "q8_0/f16"),
        ("llama-server -ctk q8_0 # -ctv q4_0", "q8_0/f16"),
        ("docker run -e LLAMA_ARG_CACHE_TYPE_V=q8_0 -v /a:/b llama.cpp:server -ctk q8_0", "q8_0/q8_0"),
        ("docker run --env=LLAMA_ARG_CACHE_TYPE_V=q8_0 llama.cpp:server", "f16/q8_0"),
        ("koboldcpp --quantkv 1", "q8_0/q8_0"),
        ("koboldcpp --quantkv q5_1 --ctx-size 8192", "q5_1/q5_1"),
        ("koboldcpp --quantkv 1 --noflashattention", "q8_0/f16"),
        ("koboldcpp --quantkv 2 --flashattention", "q4_0/q4_0"),
        ("OLLAMA_KV_CACHE_TYPE=Q8_0 ollama serve", "q8_0/q8_0"),
        ("python -m llama_cpp.server --type_k 8 --type_v 2", "q8_0/q4_0"),
    ],
)
def test_the_pair_is_read(text: str, expected: str) -> None:
    """Flags beat variables, the last flag counts, unknown flags do not disturb."""
    assert str(pair(command(text))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("llama-server -fa", "on"),
        ("llama-server -fa -c 4096", "on"),
        ("llama-server -fa off", "off"),
        ("llama-server -fa 0", "off"),
        ("LLAMA_ARG_FLASH_ATTN=false llama-server", "off"),
        ("llama-server", "auto"),
    ],
)
def test_flash_attention_is_read_in_all_its_forms(text: str, expected: str) -> None:
    """Old builds had no value."""
    assert command(text).value("flash_attention") == expected


@pytest.mark.parametrize(
    "text",
    [
        "llama-server --api-key hunter2 -ctk q4_0",
        "llama-server --api-key=hunter2 -ctk q4_0",
        "LLAMA_API_KEY=hunter2 llama-server -ctk q4_0",
        "docker run -e MY_TOKEN=hunter2 llama.cpp:server -ctk q4_0",
        "llama-server --some-password hunter2 -ctk q4_0",
        "vllm serve m --api-key hunter2",
        "HF_TOKEN=hunter2 llama-server -hft hunter2",
        "$env:MY_API_KEY = 'hunter2'; llama-server -ctk q4_0",
        "koboldcpp --password hunter2 --quantkv 1",
        "docker run --env=MY_TOKEN=hunter2 -eMY_KEY=hunter2 llama.cpp:server -ctk q4_0",
        "vllm serve m --api-key a hunter2 --kv-cache-dtype fp8",
        "llama-server --api\u2011key hunter2 -ctk q4_0",
        "llama-server --api-key\u00a0hunter2 -ctk q4_0",
        "llama-server -ctk q4_0 && curl -H 'Authorization: Bearer hunter2' http://a:8080/x",
        "llama-server -mu https://me:hunter2@host/m.gguf -ctk q4_0",
    ],
)
def test_secrets_are_never_kept(text: str) -> None:
    """Not in the facts, not in the words, not in a fix."""
    setup = command(text)
    assert "hunter2" not in repr(setup)
    assert "hunter2" not in changed(setup, {"k_type": "q8_0"})


@pytest.mark.parametrize(
    "text",
    ["HF_TOKEN=hunter2 other --flag", "HF_TOKEN=hunter2", "Exec=--api-key=hunter2", 'Environment="HF_TOKEN=hunter2"'],
)
def test_no_secret_is_shown_of_what_starts_no_back_end(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        gather([text])
    assert "hunter2" not in str(raised.value)


def test_a_command_longer_than_any_file_s_name_is_read() -> None:
    (setup,) = gather([f"llama-server -m m.gguf {'--alias a ' * 600} -ctk q4_0"])
    assert setup.value("k_type") == "q4_0"


def test_an_address_without_a_password_is_shown_whole() -> None:
    setup = command("llama-server -mu https://host:8080/a@b.gguf -ctk q4_0")
    assert "https://host:8080/a@b.gguf" in setup.words


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_words_are_taken_without_error(words: list[str]) -> None:
    """Whatever follows the program, it is read or ignored."""
    found = recognise(["llama-server", *words])
    assert found is not None


FLAG_WORDS = sorted({name for table in FLAGS.values() for flag in table for name in (*flag.names, *flag.off)})
VALUES = ("q8_0", "q4_0", "on", "off", "0", "-1", "9" * 30, "", "8,4", "Q6", "fp8", "tensor", "³", "nan", "draft-mtp")
PROGRAMS = (
    "llama-server", "ik_llama.cpp/llama-server", "ollama serve", "koboldcpp", "vllm serve m", "sglang serve",
    "python -m llama_cpp.server", "python main.py --cache-mode 8,4", "docker run -e A=b llama.cpp:server-cuda-b10488",
)  # fmt: skip


@given(
    st.sampled_from(PROGRAMS),
    st.lists(st.builds(str.__add__, st.sampled_from([*FLAG_WORDS, *VALUES]), st.sampled_from(["", "=q4_0", "="]))),
)
def test_any_flags_in_any_order_are_examined(program: str, words: list[str]) -> None:
    """Flags without values, values without flags, twice, joined, of other programs: findings, and no error."""
    found = recognise([*split(program), *words])
    assert found is not None
    assert all(finding.what for finding in examine(setup_of(found, label="x")))


@given(st.text(max_size=60))
def test_any_text_is_split_or_refused(text: str) -> None:
    """A quote that is never closed is the only reason to refuse."""
    try:
        words = split(text)
    except ConfigError:
        return
    recognise(words)


def test_an_open_quote_is_refused_without_showing_what_follows() -> None:
    """There could be a key in it."""
    with pytest.raises(ConfigError) as caught:
        split("llama-server --api-key 'hunter2")
    assert "hunter2" not in str(caught.value)


def test_an_image_tells_device_and_build() -> None:
    """As far as its tag does."""
    setup = command("docker run ghcr.io/ggml-org/llama.cpp:server-cuda-b10488 -m m.gguf")
    assert (setup.value("device"), setup.value("build")) == ("cuda", "10488")
    pinned = command("docker run ghcr.io/ggml-org/llama.cpp:server-cuda13-b11206@sha256:b123 -m m.gguf")
    assert (pinned.value("device"), pinned.value("build")) == ("cuda", "11206")
    assert command("docker run ghcr.io/ggml-org/llama.cpp:server-rocm").value("device") == "hip"
    assert command("docker run ghcr.io/ggml-org/llama.cpp:server").value("device") is None


def test_a_device_that_the_command_names_counts() -> None:
    """Vulkan0 is a Vulkan device."""
    assert command("llama-server -dev Vulkan0").value("device") == "vulkan"


def test_a_default_that_a_file_may_replace_says_so() -> None:
    """Koboldcpp and vLLM take one."""
    assert "--config" in command("koboldcpp --config a.kcpps").facts["quantkv"].how
    assert "--config" in command("vllm serve --config=a.yaml").facts["kv_dtype"].how


def test_facts_know_how_they_are_known() -> None:
    """An argument, a variable, a default."""
    setup = command("LLAMA_ARG_CTX_SIZE=4096 llama-server -ctk q8_0")
    assert setup.facts["k_type"].how == "argument: -ctk q8_0"
    assert setup.facts["context"].how == "environment: LLAMA_ARG_CTX_SIZE"
    assert (setup.facts["v_type"].how, setup.stated("v_type")) == ("default", False)


def test_a_changed_setting_stays_where_it_stood() -> None:
    """In a flag, a joined flag, a variable in front, a docker option; a new one comes last."""
    assert changed(command("A=b llama-server -ctk q4_0"), {"k_type": "q8_0"}) == "A=b llama-server -ctk q8_0"
    assert changed(command("llama-server --cache-type-k=q4_0"), {"k_type": "q8_0"}).endswith("--cache-type-k=q8_0")
    before = command("LLAMA_ARG_CACHE_TYPE_K=q4_0 llama-server")
    assert changed(before, {"k_type": "q8_0"}) == "LLAMA_ARG_CACHE_TYPE_K=q8_0 llama-server"
    docker = command("docker run -e LLAMA_ARG_CACHE_TYPE_K=q4_0 llama.cpp:server -c 1")
    assert changed(docker, {"k_type": "q8_0"}) == "docker run -e LLAMA_ARG_CACHE_TYPE_K=q8_0 llama.cpp:server -c 1"
    assert unset(docker, "LLAMA_ARG_CACHE_TYPE_K") == "docker run llama.cpp:server -c 1"
    assert changed(command("llama-server"), {"parallel": "1"}) == "llama-server -np 1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('exec llama-server -ctk q4_0 "$@" 2>&1 | tee log', 'exec llama-server -ctk q4_0 "$@" -np 1 2>&1 | tee log'),
        ("cd /x && llama-server -c 1 >> log &", "cd /x && llama-server -c 1 -np 1 >> log &"),
        ("llama-server -m <file> -c 1; echo", "llama-server -m '<file>' -c 1 -np 1 ; echo"),
        ("llama-server --samplers 'a;b' -c 1", "llama-server --samplers 'a;b' -c 1 -np 1"),
        ("docker run llama.cpp:server -c 1 > log", "docker run llama.cpp:server -c 1 -np 1 > log"),
        ("llama-server -ot 'a|b=CPU' < /dev/null", "llama-server -ot 'a|b=CPU' -np 1 < /dev/null"),
    ],
)
def test_what_the_shell_does_with_a_command_is_kept(text: str, expected: str) -> None:
    """Pipes and redirections are none of its words, and a new flag stands before them."""
    assert changed(command(text), {"parallel": "1"}) == expected


@pytest.mark.parametrize(
    "text",
    [
        r'C:\ai\llama-server.exe -m "C:\my m\x.gguf" -ctk {}',
        r".\llama-server.exe -m models\x.gguf -ctk {}",
        r'llama-server.exe -m x.gguf --chat-template-kwargs "{{\"enable_thinking\": false}}" -ctk {}',
        r'& "C:\my m\llama-server.exe" --reasoning-budget-message "That is enough." -ctk {}',
    ],
)
def test_a_windows_command_is_written_as_windows_reads_it(text: str) -> None:
    """Backslashes are parts of paths, drive or not, and double quotes the only ones; nothing is broken into lines."""
    fix = changed(command(text.format("q4_0")), {"k_type": "q8_0"})
    assert fix == text.format("q8_0")
    assert list(folded(fix, 20)) == [fix]


@pytest.mark.parametrize(
    "text",
    [
        'docker run -v "$(pwd)/models:/models" -v ~/.cache:/root/.cache llama.cpp:server -ctk {}',
        '~/llama.cpp/build/bin/llama-server -m "$HOME/my models/x.gguf" -c $CTX -ctk {}',
        "llama-server -m ~/x.gguf --reasoning-budget-message 'That is $5!' -ctk {}",
    ],
)
def test_what_a_shell_fills_in_stays_so(text: str) -> None:
    """Single quotes would keep it from the variable, the command and the home folder."""
    assert changed(command(text.format("q4_0")), {"k_type": "q8_0"}) == text.format("q8_0")


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ('$env:OLLAMA_KV_CACHE_TYPE = "q4_0"; ollama serve', '$env:OLLAMA_KV_CACHE_TYPE="q8_0" ; ollama serve'),
        ("set OLLAMA_KV_CACHE_TYPE=q4_0 && ollama serve", "set OLLAMA_KV_CACHE_TYPE=q8_0 && ollama serve"),
        ("export OLLAMA_KV_CACHE_TYPE=q4_0; ollama serve", "export OLLAMA_KV_CACHE_TYPE=q8_0 ; ollama serve"),
    ],
)
def test_a_variable_set_in_the_same_line_counts(text: str, fix: str) -> None:
    """In PowerShell, in cmd, in sh; taken away, nothing of its statement stays."""
    setup = command(text)
    assert str(pair(setup)) == "q4_0/q4_0"
    assert changed(setup, {"kv_type": "q8_0"}) == fix
    assert unset(setup, "OLLAMA_KV_CACHE_TYPE") == "ollama serve"


def test_what_people_add_when_they_post_a_command_is_no_part_of_it() -> None:
    """A prompt in front, and comments behind the mark of a line that goes on."""
    setup = command("$ llama-server \\\n  -m m.gguf \\   # the model\n  -ctk q4_0")
    assert changed(setup, {"k_type": "q8_0"}) == "llama-server -m m.gguf -ctk q8_0"


def test_a_command_for_a_shell_is_handed_to_it_again() -> None:
    """What an ExecStart or an entry point can run; variables stay variables."""
    setup = command("/bin/sh -c 'exec llama-server $OPTIONS -ctk q4_0'")
    assert changed(setup, {"k_type": "q8_0"}) == "/bin/sh -c 'exec llama-server $OPTIONS -ctk q8_0'"


def test_a_changed_command_is_read_back_as_changed() -> None:
    """The fix is what it says."""
    setup = command("A='b c' llama-server -m 'my model.gguf' -ctk q4_0")
    again = command(changed(setup, {"k_type": "q8_0", "v_type": "q8_0"}))
    assert pair(again) == KVConfig("q8_0", "q8_0")
    assert again.value("model") == "my model.gguf"
    assert SECRET not in repr(again)


def test_the_flags_of_the_table_are_those_of_the_capability_table() -> None:
    """One spelling of each flag of llama.cpp, whichever table it stands in."""
    known = engines()["llama.cpp"]
    read = {name for flag in FLAGS["llama.cpp"] for name in flag.names}
    assert {name for names in known.flags.values() for name in names} <= read
    assert set(known.env.values()) <= {flag.env for flag in FLAGS["llama.cpp"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("llama-server –ctk q4_0 –fa on", ("-ctk", "q4_0", "-fa", "on")),
        ("llama-server —cache-type-k q4_0", ("--cache-type-k", "q4_0")),
        ("llama-server ––jinja −c 1", ("--jinja", "-c", "1")),
        ("koboldcpp –quantkv 1", ("--quantkv", "1")),
        ("llama-server -m “my model.gguf” --alias ‘a b’", ("-m", "my model.gguf", "--alias", "a b")),
        ("llama-server --chat-template=“a b”", ("--chat-template=a b",)),
        ("llama-server —host 0.0.0.0 –port 80", ("--host", "0.0.0.0", "--port", "80")),  # noqa: S104 - a text
        ("llama-server --cache\u2011type\u2011k q4_0", ("--cache-type-k", "q4_0")),
        ("llama-server \uff0d\uff0djinja -c\u00a01 \u200b-fa on", ("--jinja", "-c", "1", "-fa", "on")),
        ("llama-server -m ”a b.gguf” --alias ‚x y‘", ("-m", "a b.gguf", "--alias", "x y")),
        ("llama-server -m „a b.gguf“ --alias « x »", ("-m", "a b.gguf", "--alias", " x ")),
    ],
)
def test_typographic_marks_are_read_as_what_they_stand_for(text: str, words: tuple[str, ...]) -> None:
    found = recognise(split(text))
    assert found is not None
    assert found.words[1:] == words
    assert found.typographic


def test_docker_is_read_with_typographic_dashes() -> None:
    found = recognise(split("docker run —gpus all —rm –e A=b ghcr.io/ggml-org/llama.cpp:server –ctk q4_0"))
    assert found is not None
    assert (found.before[:6], found.words[1:]) == (
        ("docker", "run", "--gpus", "all", "--rm", "-e"),
        ("-ctk", "q4_0"),
    )


def test_quotes_that_powershell_reads_are_no_finding() -> None:
    found = recognise(split("$env:OLLAMA_KV_CACHE_TYPE = “q4_0”; ollama serve"))
    assert found is not None
    assert (found.env, found.typographic) == ({"OLLAMA_KV_CACHE_TYPE": "q4_0"}, ())


def test_words_that_a_shell_parted_at_a_typographic_quote_are_one() -> None:
    found = recognise(["llama-server", "-m", "“my", "model.gguf”", "-c", "1"])
    assert found is not None
    assert (found.words[1:], found.typographic) == (("-m", "my model.gguf", "-c", "1"), ("“my model.gguf”",))


@pytest.mark.parametrize("text", ["llama-server -m 'a – b.gguf' -p 'he said “no”.'", "llama-server -m d’Artagnan.gguf"])
def test_typographic_marks_within_words_are_left_alone(text: str) -> None:
    found = recognise(split(text))
    assert found is not None
    assert not found.typographic


@pytest.mark.parametrize(
    "text",
    [
        "sudo systemctl restart ollama",
        "docker compose up llama-server",
        "brew services start ollama",
        "docker start ollama",
        "docker --context x compose run ollama",
    ],
)
def test_a_name_behind_a_manager_of_services_is_no_command(text: str) -> None:
    assert recognise(split(text)) is None
    assert recognise(split(f"{text} && ollama serve")) is not None


@pytest.mark.parametrize(
    "text",
    [
        "llama-server -m x.gguf –ctk q4_0 --api-key “hunter2 x”",
        "llama-server -m x.gguf –api-key=hunter2",
        "API_KEY=“hunter2” llama-server -m x.gguf",
        "llama-server -m x.gguf --my-token ‘hunter2’",
        "bash -c 'llama-server -m x.gguf –api-key hunter2 --api-key “hunter2”'",
        "docker run -e API_TOKEN=“hunter2” ghcr.io/ggml-org/llama.cpp:server -m x.gguf –api-key “hunter2”",
    ],
)
def test_a_secret_in_typographic_marks_is_no_evidence(text: str) -> None:
    """The finding shows the words as they were found, but none that is a secret."""
    (setup,) = gather([text])
    assert setup.typographic
    assert "hunter2" not in repr(setup)
    assert "hunter2" not in repr(examine(setup))
