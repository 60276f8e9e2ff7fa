import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

from harness.errors import UsageError
from harness.report import build_report
from harness.report.runs import list_runs
from harness.report.serve import make_server
from harness.results.progress import FILE, RunProgress, write_progress


@pytest.fixture
def reports(fake_run, tmp_path):
    root = tmp_path / "reports"
    shutil.copytree(fake_run, root / "first")
    build_report(root / "first")
    (root / "going" / "measurements").mkdir(parents=True)
    (root / "going" / "logs").mkdir()
    (root / "going" / "measurements" / "abc.json").write_text("{}")
    (root / "going" / "logs" / "lrsrn.log").write_text("loading")
    write_progress(
        root / "going", RunProgress(pid=os.getpid(), total=12, done=3, share=0.3, name="<b>LRSRN</b>", stage="time")
    )
    (root / "empty").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (root / "first" / ".lock").write_text("")
    (root / "first" / "escape").symlink_to(tmp_path / "secret.txt")
    return root


@pytest.fixture
def ask(reports):
    server = make_server(reports, 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def request(path, method="GET", host=None):
        link = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        link.request(method, path, headers={"Host": host or f"127.0.0.1:{server.server_port}"})
        reply = link.getresponse()
        body = reply.read()
        link.close()
        return reply.status, reply.headers, body

    yield request
    server.shutdown()
    thread.join(60)
    server.server_close()


def test_runs_are_listed_with_the_one_in_progress_first(reports):
    going, first = list_runs(reports)
    assert (going.folder, going.state, going.measured, going.total) == ("going", "running", 3, 12)
    assert (going.begun, going.stage, going.share) == ("<b>LRSRN</b>", "time", 0.3)
    assert (first.folder, first.state, first.best) == ("first", "complete", "ALONG (23.74)")


def test_a_run_whose_process_is_gone_was_interrupted(reports):
    (gone := subprocess.Popen([sys.executable, "-c", ""])).wait(60)
    write_progress(reports / "going", RunProgress(pid=gone.pid, total=12, done=3))
    assert {run.folder: run.state for run in list_runs(reports)}["going"] == "running"  # seconds ago it was there
    past = time.time() - 1000
    os.utime(reports / "going" / FILE, (past, past))
    assert {run.folder: run.state for run in list_runs(reports)}["going"] == "interrupted"


def test_a_run_that_goes_on_slowly_is_running(reports):
    past = time.time() - 1000
    os.utime(reports / "going" / FILE, (past, past))
    assert {run.folder: run.state for run in list_runs(reports)}["going"] == "running"


def test_a_damaged_run_is_listed_as_such(reports):
    (reports / "first" / "results.json").write_text("{")
    assert {run.folder: run.state for run in list_runs(reports)}["first"] == "unreadable"


def test_pages_and_the_list_are_served(ask):
    status, headers, body = ask("/")
    assert status == 200
    assert b'href="first/leaderboard.html"' in body
    assert b'<progress max="1" value="0.3"' in body
    assert b"3 of 12" in body
    assert b"<b>LRSRN" not in body
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert [run["folder"] for run in json.loads(ask("/runs.json")[2])] == ["going", "first"]
    assert ask("/first/leaderboard.html")[1]["Content-Type"] == "text/html; charset=utf-8"
    assert ask("/going/logs/lrsrn.log")[1]["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/first/escape",
        "/first/.lock",
        "/going/.progress.json",
        "/first/",
        "/first/models",
        "/none",
    ],
)
def test_nothing_else_is_served(ask, path):
    status, _, body = ask(path)
    assert status == 404
    assert b"secret" not in body.replace(b"secret.txt", b"")


def test_the_file_of_progress_is_not_served(ask):
    assert ask(f"/going/{FILE}")[0] == 404


def test_foreign_names_and_other_methods_are_refused(ask):
    assert ask("/", host="evil.example")[0] == 403
    assert ask("/", "HEAD", host="evil.example:80")[0] == 403
    assert ask("/", "POST")[0] == 501
    assert ask("/", "PUT")[0] == 501


def test_it_listens_on_the_loopback_alone(reports):
    server = make_server(reports, 0)
    try:
        assert server.server_address[0] == "127.0.0.1"
        with pytest.raises(UsageError, match="port"):
            make_server(reports, server.server_port)
    finally:
        server.server_close()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        make_server(tmp_path / "nowhere")
