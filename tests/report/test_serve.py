import http.client
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlencode

import pytest

from harness.analysis.compare_runs import compare_runs
from harness.errors import UsageError
from harness.report.page import build_report
from harness.report.runs import list_runs
from harness.report.serve import make_server
from harness.results.progress import FILE, FinishedNetwork, RunProgress, write_progress


@pytest.fixture(scope="module")
def built(fake_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "first"
    shutil.copytree(fake_run, folder)
    build_report(folder)
    return folder


@pytest.fixture
def reports(built, tmp_path):
    root = tmp_path / "reports"
    shutil.copytree(built, root / "first")
    (root / "going" / "measurements").mkdir(parents=True)
    (root / "going" / "logs").mkdir()
    (root / "going" / "measurements" / "abc.json").write_text("{}")
    (root / "going" / "logs" / "lrsrn.log").write_text("loading")
    state = RunProgress(pid=os.getpid(), total=12, done=3, share=0.3, name="<b>LRSRN</b>", stage="time")
    write_progress(root / "going", state.model_copy(update={"process": 2, "processes": 3, "seconds_left": 300.0}))
    (root / "empty").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (root / "first" / ".lock").write_text("")
    (root / "first" / "escape").symlink_to(tmp_path / "secret.txt")
    return root


@pytest.fixture
def server(reports):
    server = make_server(reports, 0, compare_runs)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join(60)
    server.server_close()


@pytest.fixture
def ask(server):
    def request(path, method="GET", host=None):
        link = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        link.request(method, path, headers={"Host": host or f"127.0.0.1:{server.server_port}"})
        reply = link.getresponse()
        body = reply.read()
        link.close()
        return reply.status, reply.headers, body

    return request


@pytest.fixture
def send(server):
    """Send bytes and return the first line of the answer."""

    def request(content):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as link:
            try:
                link.sendall(content)
                link.shutdown(socket.SHUT_WR)
                with link.makefile("rb") as stream:
                    return stream.read().split(b"\r\n")[0]
            except ConnectionError:  # it answered before it had read everything
                return b""

    return request


def test_runs_are_listed_with_the_one_in_progress_first(reports):
    going, first = list_runs(reports)
    assert (going.folder, going.state, going.measured, going.total) == ("going", "running", 3, 12)
    assert (going.begun, going.stage, going.share) == ("<b>LRSRN</b>", "time, process 2 of 3", 0.3)
    assert going.left == "about 5 min left"
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
    assert b"time, process 2 of 3, about 5 min left" in body
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


@pytest.fixture
def second(built, reports):
    """A later run of the same models, with one network 50 % slower, in a folder whose name needs escaping."""
    folder = reports / "second & <b>last"
    shutil.copytree(built, folder)
    results = json.loads((folder / "results.json").read_text())
    results["run"]["created"] = "2026-05-02T21:04:11+02:00"
    results["entries"][5]["runtime_ms"].update(mean=19.42, median=19.26, ci=[19.0, 19.6])
    results["entries"] = [entry for entry in results["entries"] if entry["name"] != "SCSRN"]
    (folder / "results.json").write_text(json.dumps(results))
    return folder.name


def test_any_two_runs_are_compared(ask, second):
    body = ask("/")[2].decode()
    assert body.count('<option value="second &amp; &lt;b&gt;last"') == 2
    assert '<option value="going"' not in body
    status, _, body = ask(f"/compare?{urlencode({'before': 'first', 'after': second})}")
    page = body.decode()
    assert status == 200
    assert re.search(r"Removed</dt><dd class=\"figure\">1<.*?SCSRN", page)
    assert "+50.0 %" in page
    assert 'href="second%20%26%20%3Cb%3Elast/leaderboard.html"' in page
    assert "<b>last" not in page


@pytest.mark.parametrize(
    ("query", "status", "part"),
    [
        ("", 404, "there is no finished run"),
        ("before=first", 404, "there is no finished run"),
        ("before=frst&after=going", 404, "Did you mean &#39;first&#39;?"),
        ("before=first&after=going", 404, "there is no finished run &#39;going&#39;"),
        ("before=../secret.txt&after=first", 404, "there is no finished run"),
        ("before=%00&after=%ff", 404, "there is no finished run"),
        ("before=first&after=first", 404, "does not differ from itself"),
    ],
)
def test_what_cannot_be_compared_is_said_above_the_list(ask, query, status, part):
    found, _, body = ask(f"/compare?{query}")
    assert found == status
    assert part in body.decode()
    assert b'href="first/leaderboard.html"' in body


def test_damaged_samples_do_not_end_the_server(ask, reports, second, capfd):
    for file in (reports / second / "samples").iterdir():
        file.write_text("[")
    status, _, body = ask(f"/compare?{urlencode({'before': 'first', 'after': second})}")
    assert status == 500
    assert b"No comparison" in body
    assert "Traceback" not in capfd.readouterr().err


def test_networks_that_are_measured_are_shown_during_the_run(ask, reports):
    done = [FinishedNetwork(name="<i>A", status="ok"), FinishedNetwork(name="B", status="failed", reason="load: <u>no")]
    write_progress(reports / "going", RunProgress(pid=os.getpid(), total=9, done=2, share=0.25, finished=done))
    body = ask("/")[2].decode()
    assert "<title>25 % going, Runs</title>" in body
    assert "2 of 9 networks measured" in body
    assert re.search(r"B</bdi> <span class=\"status failed\">failed</span>.*load: &lt;u&gt;no", body)
    assert "&lt;i&gt;A" in body
    assert json.loads(ask("/runs.json")[2])[0]["finished"][1]["status"] == "failed"


def test_an_open_page_follows_a_run_and_keeps_what_was_chosen(server, browser, reports, second, until):
    complaints = []
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"http://127.0.0.1:{server.server_port}/")
    assert page.locator("select").evaluate_all("lists => lists.map(one => one.value)") == ["first", second]
    page.select_option("select[name=before]", second)
    page.select_option("select[name=after]", "first")
    shutil.copytree(reports / "first", reports / "third")
    write_progress(reports / "going", RunProgress(pid=os.getpid(), total=12, done=11, share=0.9))
    until(page, "document.title.startsWith('90 %') && document.querySelectorAll('option').length === 6")
    assert page.locator("select").evaluate_all("lists => lists.map(one => one.value)") == [second, "first"]
    page.get_by_role("button", name="Compare").click()
    until(page, "document.querySelector('h1').textContent === 'What changed'")
    page.wait_for_load_state()
    assert "Added" in page.content()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
    assert complaints == []


HOST = b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /first%00.html",
        b"HEAD /%00",
        b"GET \x00",
        b"GET /" + b"a" * 5000,
        b"GET /" + b"a/" * 30000,
    ],
)
def test_a_path_that_cannot_exist_is_a_bad_request(send, capfd, request_line):
    assert send(request_line + HOST).split()[1:2] == [b"400"]
    printed = capfd.readouterr().err
    assert printed.count("\n") == 1
    assert len(printed) < 400
    assert printed.startswith("code 400")


def test_a_file_that_cannot_be_read_is_missing(send, reports):
    os.mkfifo(reports / "first" / "pipe")
    (reports / "loop").symlink_to(reports / "loop")
    for path in (b"first/pipe", b"loop", b"loop/x", b"first/leaderboard.html/x"):
        assert send(b"GET /" + path + HOST) == b"HTTP/1.0 404 Not Found"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"GET\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400"),
        (b"GET / HTTP/1\r\n\r\n", b"400"),
        (b"GET / HTTP/" + b"9" * 5000 + b".1\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /" + b"a" * 70000 + HOST, b"414"),
        (b"__class__ /" + HOST, b"501"),
        (b"\x1b[31m\xff /" + HOST, b"501"),
    ],
)
def test_a_broken_request_gets_a_status_and_one_line(send, capfd, content, status):
    assert send(content).split()[1:2] in ([status], [])  # a client may be too slow to see the answer
    printed = capfd.readouterr().err
    assert printed.isprintable() or printed.count("\n") == 1
    assert "\x1b" not in printed
    assert "Traceback" not in printed


def test_random_requests_end_without_a_traceback(send, ask, capfd):
    rng = random.Random(0)
    words = [
        b"GET",
        b"HEAD",
        b" ",
        b"/",
        b"%00",
        b"..",
        b"first",
        b"HTTP/1.1",
        b"\r\n",
        b"Host: 127.0.0.1",
        b":",
        b"\xff",
    ]
    for _ in range(300):
        parts = [rng.choice(words) if rng.random() < 0.8 else rng.randbytes(3) for _ in range(rng.randrange(1, 14))]
        send(b"".join(parts) + rng.choice([b"", b"\r\n\r\n", HOST]))
    assert ask("/")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_a_client_that_goes_away_is_no_error(server, ask, capfd):
    for _ in range(20):
        link = socket.create_connection(("127.0.0.1", server.server_port), timeout=20)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # reset when closed
        link.sendall(b"GET /first/leaderboard.html" + HOST)
        link.close()
    assert ask("/")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_list_that_cannot_be_made_is_one_line(ask, reports, capfd):
    shutil.rmtree(reports)
    assert ask("/runs.json")[0] == 500
    assert capfd.readouterr().err.startswith("code 500")
