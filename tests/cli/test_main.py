"""The program as a whole: help, version, exit codes, pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import click
import pytest

from kvassay import errors
from kvassay.cli import COMMANDS, app, main


def kvassay(*args: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kvassay", *args]
    return subprocess.run(command, text=True, timeout=60, check=False, **{"capture_output": True, **options})  # type: ignore[call-overload, no-any-return]


def test_help_lists_every_command_with_its_line() -> None:
    """Without importing any of them."""
    done = kvassay("--help")
    assert done.returncode == 0
    for name, line in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert line in done.stdout


def test_the_version_is_the_packages_own() -> None:
    """As installed."""
    assert kvassay("--version").stdout.split()[-1] == version("kvassay")


@pytest.mark.parametrize("args", [[], ["run"]])
def test_no_arguments_print_help_with_exit_code_2(args: list[str]) -> None:
    """For the program and for run alike."""
    done = kvassay(*args)
    assert done.returncode == 2
    assert "Usage: " in done.stderr + done.stdout
    assert "--help" in done.stderr + done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_80_columns_and_explains_every_option(name: str) -> None:
    """No line is longer, no option is without a word, no mark-up shows."""
    command = app.get_command(click.Context(app), name)
    assert command is not None
    context = click.Context(command, info_name=f"kvassay {name}", terminal_width=80, max_content_width=80)
    lines = command.get_help(context).splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("\b" in line or "\\b" in line for line in lines)
    assert all(option.help for option in command.params if isinstance(option, click.Option))


def test_the_examples_of_run_stand_on_lines_of_their_own() -> None:
    """They can be copied."""
    assert "  kvassay run model.gguf --k f16,q8_0 --v f16,q8_0,q4_0" in kvassay("run", "--help").stdout.splitlines()


def test_an_unknown_command_is_a_usage_error() -> None:
    """Named, without a traceback."""
    done = kvassay("asay")
    assert done.returncode == 2
    assert "asay" in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError, 2), (errors.SuiteError, 2), (errors.ModelFileError, 2), (errors.FetchError, 3),
        (errors.BootFailed, 4), (errors.NotEngaged, 4), (errors.ServerDied, 4), (errors.StoreError, 5),
        (errors.StoreBusy, 5), (KeyboardInterrupt, 130),
    ],
)  # fmt: skip
def test_every_error_has_its_exit_code_and_one_message(
    error: type[BaseException], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The documented codes, and the message with its log and hint on stderr."""
    raised = error("what happened", log=("why",), hint="do this") if issubclass(error, errors.KvassayError) else error()

    def fail() -> None:
        raise raised

    monkeypatch.setitem(COMMANDS, "report", "")
    monkeypatch.setattr("kvassay.cli.report.report", click.Command("report", callback=fail))
    monkeypatch.setattr(sys, "argv", ["kvassay", "report"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == code
    if code != 130:
        assert capsys.readouterr().err == "kvassay: what happened\n  | why\ndo this\n"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_closed_pipe_ends_the_program_quietly() -> None:
    """`kvassay models list | head -0` is no error worth a message."""
    read, write = os.pipe()
    os.close(read)
    done = kvassay("models", "list", capture_output=False, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == ""
