"""The process of a command ends at once, after all that it has left to do, with its status."""

import subprocess
import sys
import time

import pytest

MODULES = "import atexit, sys, threading, time\nimport harness.cli\n"


def ended(*lines: str) -> subprocess.CompletedProcess[str]:
    """Run a command line of which the lines are the body."""
    body = "".join(f"    {line}\n" for line in lines)
    code = f"{MODULES}def main():\n{body}harness.cli.main = main\nharness.cli.command_line()\n"
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=100)


@pytest.mark.parametrize(("code", "status"), [("0", 0), ("3", 3), ("130", 130), ("None", 0), ("'words'", 1)])
def test_the_status_is_that_of_the_command(code: str, status: int) -> None:
    done = ended(f"sys.exit({code})")
    assert done.returncode == status
    assert done.stderr.strip() == ("words" if status == 1 else "")


def test_what_was_printed_and_left_for_the_end_is_done() -> None:
    done = ended(
        "atexit.register(print, 'at the end')",
        "threading.Thread(target=lambda: (time.sleep(0.3), print('in a thread'))).start()",
        "sys.stdout.write('no newline ')",
        "sys.exit(4)",
    )
    assert done.returncode == 4
    assert done.stdout == "no newline in a thread\nat the end\n"


def test_modules_are_not_dismantled() -> None:
    slow = "class Slow:\n        def __del__(self): time.sleep(60)"
    begin = time.monotonic()
    assert ended(slow, "sys.slow = Slow()", "sys.exit(0)").returncode == 0
    assert time.monotonic() - begin < 30


def test_an_exception_that_nobody_handles_is_shown() -> None:
    done = ended("raise RuntimeError('inside')")
    assert done.returncode == 1
    assert "RuntimeError: inside" in done.stderr


def test_a_reader_that_has_gone_is_no_error_at_the_end() -> None:
    code = f"{MODULES}atexit.register(print, 'late')\nsys.argv = ['harness', 'tracks']\nharness.cli.command_line()\n"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(100) == 0
