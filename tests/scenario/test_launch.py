"""stator serve as an operator sees it: start, stop, death and return of its processes; and the small commands beside it."""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile

import pytest
from deployment import ROOT, URL, Deployment, Process, arguments_of, mock_graph, stat_of, stator_bin, until
from rawhttp import Wire, call, post

SHORT = {"model": "mock", "prompt": "once upon a time", "max_tokens": 8}
# Two seconds at 20 ms a token.
STREAM = {"model": "mock", "prompt": "for a while", "max_tokens": 100, "ignore_eos": True, "stream": True}
# Minutes.
LONG = {**STREAM, "max_tokens": 20000}
SLOW = {"decode-us-base": 20000, "context-length": 30000}


def stator(*args, input=None, env=None, deadline_s=60):
    return subprocess.run([stator_bin(), *map(str, args)], input=input, env={**os.environ, **(env or {})}, text=True,
                          stdin=subprocess.DEVNULL if input is None else None, timeout=deadline_s, capture_output=True)


def runtime_dir(deployment):
    """The private folder of a deployment, from the command line of a worker."""
    (listen,) = (a for a in arguments_of(deployment.workers()[0]) if a.startswith("--listen=unix:"))
    return pathlib.Path(listen.removeprefix("--listen=unix:")).parent


@pytest.fixture(scope="module")
def slow():
    with Deployment(graph=mock_graph(None, SLOW, workers=2)) as deployment:
        yield deployment


def refuses(deployment):
    try:
        Wire(deployment).close()
    except ConnectionRefusedError:
        return True
    return False


# Starting.

@pytest.mark.smoke
def test_serve_without_a_graph_starts_two_mock_workers_on_any_port():
    with Deployment("--engine", "mock", "--port", "0") as deployment:
        assert len(deployment.workers()) == 2
        assert post(deployment, "/v1/completions", SHORT).status == 200


@pytest.mark.smoke
def test_the_curl_line_can_be_pasted():
    with Deployment("--engine", "mock", "--port", "0", "--MockWorker.served-model-name=it's \"x\"") as deployment:
        line = deployment.wait_line(r"^\s*curl -N .*").group()
        answer = subprocess.run(line.strip(), shell=True, capture_output=True, text=True, timeout=60)
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout.rstrip().endswith("data: [DONE]")


def test_the_table_names_every_process_and_its_state():
    with Deployment(graph=mock_graph(workers=3)) as deployment:
        for name in ("frontend", "mock-0", "mock-1", "mock-2"):
            deployment.wait_line(rf"^\s*{name}\s+ready")
        assert re.search(r"mock on 3 mock workers, \d+ CPU", deployment.lines[0])


def test_flags_of_serve_win_over_the_graph():
    with Deployment("--workers", "3", "--host", "127.0.0.1", graph=mock_graph(workers=1)) as deployment:
        assert len(deployment.workers()) == 3


def test_check_says_what_would_be_started_and_starts_nothing(tmp_path):
    (tmp_path / "graph.yaml").write_text(json.dumps(mock_graph(workers=2)))
    done = stator("serve", "--check", tmp_path / "graph.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("stator worker ") == 2 and done.stdout.count("stator frontend ") == 1
    done = stator("serve", "--check", "--engine", "mock", "--MockWorker.served-model-name=it's a")
    assert "'--served-model-name=it'\\''s a'" in done.stdout, done.stdout  # lines that a shell reads as they are meant


def test_values_of_flags_are_taken_as_they_are(tmp_path, demo_model):
    odd = tmp_path / "a: [b] #it's.gguf"
    odd.symlink_to(demo_model)
    answer = stator("serve", odd, "--host", "[::1]", "--port", "8000", "--check")
    assert answer.returncode == 0, answer.stderr
    [line] = [line for line in answer.stdout.splitlines() if "--model=" in line]
    assert f"--model={odd}" in shlex.split(line), "the line can be pasted into a shell"
    assert "frontend: http://[::1]:8000\n" in answer.stdout


def test_json_logs_are_json_on_every_line():
    process = Process("serve", "--engine", "mock", "--port", "0", "--log-json")
    try:
        process.wait_line("deployment ready")
        process.popen.send_signal(signal.SIGTERM)
        assert process.wait_exit() == 0
        for line in process.lines:
            assert isinstance(json.loads(line), dict), line
    finally:
        process.kill_all()


def test_a_worker_flag_for_a_graph_with_two_kinds_of_workers_asks_which(tmp_path):
    (tmp_path / "graph.yaml").write_text("MockWorker: {}\nOther:\n  engine: mock\n")
    done = stator("serve", "--port", "0", "--workers", "2", tmp_path / "graph.yaml")
    assert done.returncode == 2
    assert "ServiceArgs.workers" in done.stderr


# Stopping.

@pytest.mark.smoke
def test_ctrl_c_lets_a_stream_finish_tells_new_ones_and_leaves_nothing():
    deployment = Deployment(graph=mock_graph(None, SLOW, workers=2))
    try:
        folder = runtime_dir(deployment)
        assert folder.stat().st_mode & 0o077 == 0
        assert (folder / "secret").stat().st_mode & 0o077 == 0
        with Wire(deployment) as wire, Wire(deployment) as kept:
            kept.request("GET", "/v1/models")
            assert kept.answer().status == 200
            wire.request("POST", "/v1/completions", STREAM)
            assert wire.head()[0] == 200
            events = wire.events()
            next(events)
            deployment.popen.send_signal(signal.SIGINT)
            deployment.wait_line("draining")
            # Whoever comes hears it, on a connection of before too, until the stream has ended.
            until("/ready to say no", lambda: call(deployment, "GET", "/ready").status == 503, 5)
            kept.request("POST", "/v1/completions", STREAM)
            refused = kept.answer()
            assert refused.status == 503 and refused.json()["error"]["code"] == "server_stopping"
            assert refused.headers["connection"] == "close" and int(refused.headers["retry-after"]) > 0
            assert kept.closed()
            assert call(deployment, "GET", "/live").status == 200
            assert call(deployment, "GET", "/metrics").status == 200
            assert list(events)[-1] == "[DONE]"
        # Then the port is free: a new client is refused, not left waiting in the queue of a socket that somebody still holds.
        until("new clients to be refused", lambda: refuses(deployment), 5)
        assert deployment.wait_exit() == 0
        assert not deployment.session()
        assert not folder.exists()
    finally:
        deployment.kill_all()
        deployment.folder.cleanup()


def test_a_deployment_on_a_unix_socket_is_for_this_user_and_leaves_no_file(tmp_path):
    path = tmp_path / "clients.sock"
    deployment = Deployment("--host", f"unix:{path}", graph=mock_graph({"port": 1}), ready=False)
    try:
        deployment.wait_line(r"Ready in .* at unix:" + re.escape(str(path)))
        assert "--unix-socket" in deployment.output
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        # Any name is welcome: no browser comes here.
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200 ") and b'"mock"' in answer
        said = stator("chat", f"unix:{path}", "-n", "4", input="hello\n")
        assert said.returncode == 0 and said.stdout.strip()
        os.kill(deployment.frontend(), signal.SIGKILL)
        until("the frontend to be back", lambda: stator("chat", f"unix:{path}", "-n", "1", input="x\n").returncode == 0)
        second = stator("serve", "--engine", "mock", "--host", f"unix:{path}")
        assert second.returncode == 1 and "another process listens" in second.stderr
        assert path.exists()
        deployment.stop()
        assert not path.exists()
    finally:
        deployment.kill_all()
        deployment.folder.cleanup()


def test_check_leaves_the_port_to_whoever_serves_there(mock):
    run = subprocess.run([stator_bin(), "serve", "--engine", "mock", "--port", str(mock.address[1]), "--check"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert f":{mock.address[1]}" in run.stdout


@pytest.mark.smoke
def test_a_second_ctrl_c_stops_at_once():
    deployment = Deployment(graph=mock_graph(None, SLOW, workers=2))
    try:
        deployment.wait_line("Ready in")
        folder = runtime_dir(deployment)
        with Wire(deployment) as wire:
            wire.request("POST", "/v1/completions", LONG)
            assert wire.head()[0] == 200
            deployment.popen.send_signal(signal.SIGINT)
            deployment.wait_line("draining")

            def stopped():
                # One that comes within 50 ms of the first counts as the same wish: then the next one does it.
                deployment.popen.send_signal(signal.SIGINT)
                return deployment.popen.poll() is not None

            until("it to stop", stopped, 5)
        assert deployment.wait_exit(5) == 130
        assert not deployment.session()
        assert not folder.exists()
    finally:
        deployment.kill_all()
        deployment.folder.cleanup()


def test_a_drain_that_takes_too_long_ends_streams_with_an_error_and_answers_with_503():
    deployment = Deployment("--drain-seconds", "1", graph=mock_graph(None, SLOW))
    try:
        with Wire(deployment) as wire, Wire(deployment) as whole:
            wire.request("POST", "/v1/completions", LONG)
            assert wire.head()[0] == 200
            events = wire.events()
            next(events)
            whole.request("POST", "/v1/completions", {**LONG, "stream": False})
            until("both to run", lambda: deployment.running() == 2)
            deployment.popen.send_signal(signal.SIGTERM)
            *_, last = events
            assert json.loads(last)["error"]["code"] == "server_stopping"
            answer = whole.answer()
            assert answer.status == 503 and answer.json()["error"]["code"] == "server_stopping"
            assert deployment.wait_exit(20) == 0
        assert not deployment.session()
    finally:
        deployment.kill_all()
        deployment.folder.cleanup()


def test_ctrl_c_of_a_terminal_reaches_the_supervisor_alone(slow):
    """It goes to the foreground process group: the children have groups of their own."""
    assert all(int(stat_of(pid)[2]) == pid for pid in slow.workers() + slow.children("frontend"))


def test_nohup_survives_the_terminal():
    script = f"exec nohup {shlex.quote(stator_bin())} serve --engine mock --port 0"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as process:
        try:
            url = next(found.group() for line in process.stdout if (found := re.search(r"Ready .*(http://\S+)", line)))
            process.send_signal(signal.SIGHUP)
            assert url and stator("chat", re.search(r"http\S+", url).group(), "-n", "2", input="still there?\n").returncode == 0
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_a_stop_while_it_loads_leaves_nothing(demo_model):
    process = Process("serve", demo_model, "--port", "0")
    try:
        process.wait_line("on 1 llama worker")
        until("a worker to load", lambda: len(process.session()) > 2, 20)
        process.popen.send_signal(signal.SIGINT)
        assert process.wait_exit(20) == 0
        assert not process.session()
    finally:
        process.kill_all()


# Dying.

@pytest.mark.smoke
def test_a_killed_worker_is_started_again_and_its_last_lines_are_shown(slow):
    first = len(slow.lines)
    victim = slow.workers()[0]
    name = next(a for a in arguments_of(victim) if a.startswith("--name=")).removeprefix("--name=")
    os.kill(victim, signal.SIGKILL)
    slow.wait_line(rf"worker {name} died .*killed by signal 9.*starting it again in 0\.1 s.*last lines", after=first)
    slow.wait_line(r"^    \| .*worker ready", after=first)
    said = slow.wait_line(r"stator did not send that signal.*out-of-memory killer: (.*)", after=first).group(1)
    assert re.search(r"\d+ MiB", said) and "dmesg" in said and "journalctl -k" in said
    slow.wait_line(rf"{name}\s+ready", after=first)
    assert len(slow.workers()) == 2
    assert post(slow, "/v1/completions", SHORT).status == 200


def test_the_folder_of_a_killed_supervisor_is_swept_by_the_next():
    deployment = Deployment(graph=mock_graph())
    try:
        folder = runtime_dir(deployment)
        deployment.popen.kill()
        until("its children to be gone", lambda: not deployment.session(), 20)
        assert folder.exists()
        with Deployment(graph=mock_graph()):
            assert not folder.exists()
    finally:
        deployment.kill_all()
        deployment.folder.cleanup()


def test_a_child_between_fork_and_exec_does_not_outlive_its_supervisor():
    """Kill the supervisor at any moment of its start: nobody stays behind."""
    for _ in range(10):
        process = Process("serve", "--engine", "mock", "--port", "0")
        try:
            until("a child", lambda: len(process.session()) > 1, 20)
            process.popen.kill()
            until("all to be gone", lambda: not process.session(), 20)
        finally:
            process.kill_all()


def test_whatever_a_cleaner_takes_every_process_comes_back():
    """Each file of the runtime folder is removed, then each process killed; at last the whole folder."""
    with Deployment(graph=mock_graph(workers=2)) as deployment:
        folder = runtime_dir(deployment)

        def kill_all_in_turn():
            for name, pid in [("frontend", deployment.frontend()), *zip(("mock-0", "mock-1"), deployment.workers())]:
                first = len(deployment.lines)
                os.kill(pid, signal.SIGKILL)
                deployment.wait_line(rf"^  {name}\s+ready", after=first)
            until("both workers to serve", lambda: deployment.metric("stator_worker_up") == 2, 20)
            assert post(deployment, "/v1/completions", SHORT).status == 200

        files = {path.name for path in folder.iterdir()}
        assert {"secret", "lock", "mock-0.sock", "mock-1.sock", "mock-0.log", "frontend.log"} <= files
        first = len(deployment.lines)
        for path in folder.iterdir():
            path.unlink()
        deployment.wait_line("somebody removed files in .*they are put back", after=first)
        # A frontend that starts now finds the workers only by sockets they have made again.
        kill_all_in_turn()
        until("all files to be there", lambda: files <= {path.name for path in folder.iterdir()}, 20)
        shutil.rmtree(folder)
        kill_all_in_turn()


@pytest.fixture
def short_folder():
    """Below it there is room for the path of a Unix socket, which below pytest's own there is not."""
    with tempfile.TemporaryDirectory(prefix="st-") as folder:
        yield folder


def test_deployments_that_run_are_named_where_one_has_to_be_chosen(short_folder):
    home = {"XDG_RUNTIME_DIR": short_folder}
    for command in (["explain", "http://127.0.0.1:9"], ["debug", "index-check", "http://127.0.0.1:9"],
                    ["chat", "http://127.0.0.1:9"], ["bench", "http://127.0.0.1:9"]):
        said = stator(*command, env=home, input="hi\n")
        assert said.returncode == 1
        assert "no deployment of yours runs here; a server elsewhere is named by its URL" in said.stderr, said.stderr
    with Deployment(graph=mock_graph(), env=home) as one, Deployment(graph=mock_graph({"served-model-name": "other"}), env=home) as two:
        said = stator("logs", env=home)
        assert "2 deployments run here" in said.stderr
        for deployment in (one, two):
            (line,) = (line for line in said.stderr.splitlines() if deployment.url in line)
            assert line.endswith(f"--dir {runtime_dir(deployment)}"), line
        assert "other on 1 mock worker" in said.stderr
        for command in ("explain", "chat", "bench"):
            said = stator(command, "http://127.0.0.1:9", env=home, input="hi\n").stderr
            assert one.url in said and two.url in said and f'"stator {command} http://' in said, said


@pytest.mark.parametrize("abstract", [False, True])
def test_a_service_manager_hears_of_start_readiness_life_and_stop(tmp_path, abstract):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(60)
        name = f"\0stator-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
        manager.bind(name)
        environment = {"NOTIFY_SOCKET": name.replace("\0", "@"), "WATCHDOG_USEC": "400000"}
        with Deployment(graph=mock_graph(workers=2), env=environment) as deployment:
            heard = []

            def hear(words):
                while not heard or words not in heard[-1]:
                    heard.append(manager.recv(4096).decode())

            hear("READY=1")
            assert any("STATUS=Starting: 0 of 3 processes are ready" in text for text in heard)
            assert "STATUS=Serving: 3 processes are ready" in heard[-1]
            assert not any("READY=1" in text for text in heard[:-1])
            hear("WATCHDOG=1")
            # The processes it starts do not speak for the unit.
            assert not any(b"NOTIFY_SOCKET" in v or b"WATCHDOG_USEC" in v for v in environment_of(deployment.frontend()))
            deployment.stop()
            hear("STOPPING=1")


def test_the_unit_file_names_what_is_there():
    unit = (pathlib.Path(__file__).resolve().parents[2] / "deploy/systemd/stator.service").read_text()
    assert "Type=notify" in unit and "ExecStart=@PREFIX@/bin/stator serve " in unit
    if shutil.which("systemd-analyze"):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "stator.service")
            path.write_text(unit.replace("@PREFIX@/bin/stator", stator_bin()))
            said = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, timeout=60)
            assert "Unknown" not in said.stderr and "Failed to parse" not in said.stderr, said.stderr


def environment_of(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read().split(b"\0")


def test_no_process_starts_a_debugger_on_itself_unless_it_is_told_to():
    with Deployment(graph=mock_graph()) as deployment:
        for pid in [deployment.frontend(), *deployment.workers()]:
            assert b"GGML_NO_BACKTRACE=1" in environment_of(pid)
    graph = mock_graph()
    graph["MockWorker"]["ServiceArgs"]["envs"] = [{"name": "GGML_NO_BACKTRACE", "value": "mine"}]
    with Deployment(graph=graph) as deployment:
        assert b"GGML_NO_BACKTRACE=mine" in environment_of(deployment.workers()[0])


# The commands beside serve.

@pytest.mark.smoke
@pytest.mark.parametrize("args, said", [
    (["srve"], 'did you mean "serve"'), (["serve", "--prot", "1"], 'did you mean "--port"'),
    (["completion", "tcsh"], "bash, zsh and fish"),
    (["frontend", "--workers", "unix:/a,nonsense"], 'cannot use address "nonsense"'), (["help", "cht"], 'did you mean "chat"'), ([], "stator help"),
    (["run"], "which model"), (["serve", "--port", "x"], "65535"), (["frontend"], "--workers"),
    (["serve", "a.yaml", "b.yaml"], "b.yaml"),
    # Before the model is loaded, which may take minutes.
    (["worker", "--model", "demo"], "no address to listen on"), (["worker", "--listen", "127.0.0.1:7000", "--model", "demo"], "--secret-file"),
    (["worker", "--listen", "somewhere", "--model", "demo"], 'cannot use address "somewhere"'),
    (["run", "demo", "--seed", "-2"], '"-2" is not a whole number of at least -1'),
])
def test_a_mistyped_command_line_is_explained_with_status_2(args, said):
    done = stator(*args)
    assert done.returncode == 2, done
    assert said in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("command", ["serve", "run", "chat", "worker", "frontend", "version", "help", "completion", "man"])
def test_every_command_has_help(command):
    for args in ([command, "--help"], ["help", command]):
        done = stator(*args)
        assert done.returncode == 0, done.stderr
        assert f"usage: stator {command}" in done.stdout


def test_version_states_what_it_was_built_with():
    said = stator("version").stdout
    for word in ("stator", "commit", "compiler", "llama.cpp", "libevent", "cuda"):
        assert re.search(rf"^{re.escape(word)} +\S", said, re.M), said
    short = stator("--version").stdout.splitlines()[0].split()[-1]
    assert stator("version", "--short").stdout.strip() == short


def test_output_that_cannot_be_written_is_an_error():
    with open("/dev/full", "w") as full:
        done = subprocess.run([stator_bin(), "help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert "No space left" in done.stderr


def test_bash_completes_commands_and_flags():
    def complete(line):
        words = shlex.split(line) + ([""] if line.endswith(" ") else [])
        script = (f"source <({shlex.quote(stator_bin())} completion bash); COMP_WORDS=({' '.join(map(shlex.quote, words))}); "
                  f"COMP_CWORD={len(words) - 1}; $(complete -p stator | sed 's/.*-F \\([^ ]*\\).*/\\1/') stator; "
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60).stdout.split()

    assert "serve" in complete("stator se")
    assert "--port" in complete("stator serve --po")
    assert complete("stator completion ") == ["bash", "zsh", "fish"]
    assert complete("stator help exp") == ["explain"]
    assert complete("stator doctor ") == []


# run and chat.

@pytest.mark.smoke
def test_chat_without_a_terminal_answers_each_line(slow):
    done = stator("chat", slow.url, "--max-tokens", "4", input="hello\nagain\n")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 2
    assert [line[:5] for line in done.stderr.splitlines()] == ["(cut:"] * 2


@pytest.mark.parametrize("more", ["", "a second question\n"], ids=["last", "more"])
def test_ctrl_c_ends_a_chat_without_a_terminal(slow, more):
    chat = subprocess.Popen([stator_bin(), "chat", slow.url, "-n", "5000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)
    try:
        chat.stdin.write("hello\n" + more)
        chat.stdin.close()
        chat.stdin = None
        until("the answer to run", lambda: slow.running() == 1)
        chat.send_signal(signal.SIGINT)
        _, said = chat.communicate(timeout=20)
        assert chat.returncode == 130
        assert "stopped" in said
    finally:
        chat.kill()
    until("the worker to be free", slow.idle, 20)


def test_chat_says_what_the_server_says(slow):
    done = stator("chat", slow.url, "--model", "nobody", input="hello\n")
    assert done.returncode == 1
    assert "nobody" in done.stderr and "mock" in done.stderr


def test_chat_without_a_server_says_so(tmp_path):
    done = stator("chat", "http://127.0.0.1:1", input="hello\n", env={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
    # Others of this user may run, in places that every process looks at.
    assert "stator serve" in done.stderr or "deployments of yours run at" in done.stderr


@pytest.mark.parametrize("url, said", [("ftp://x", "ftp"), ("https://127.0.0.1:1", "127.0.0.1:1"), ("http://x:99999", "99999")])
def test_chat_refuses_what_is_no_url(url, said):
    done = stator("chat", url, input="")
    assert done.returncode != 0
    assert said in done.stderr


def test_chat_shows_its_key():
    keys = pathlib.Path(os.environ.get("TMPDIR", "/tmp"), f"stator-keys-{os.getpid()}")
    keys.write_text("secret-one\n")
    keys.chmod(0o600)
    try:
        with Deployment("--api-keys", keys, graph=mock_graph()) as deployment:
            refused = stator("chat", deployment.url, input="hello\n")
            assert refused.returncode == 1 and "key" in refused.stderr.lower()
            for args, env in ((["--api-key", "secret-one"], {}), ([], {"OPENAI_API_KEY": "secret-one"})):
                assert stator("chat", deployment.url, "-n", "3", *args, input="hello\n", env=env).returncode == 0
    finally:
        keys.unlink()


class Terminal:
    """A command on a terminal of its own: what it prints, and keys to press."""

    def __init__(self, *args, env=None):
        import pty

        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(stator_bin(), ["stator", *map(str, args)], {**os.environ, "TERM": "xterm", **(env or {})})
        os.set_blocking(self.fd, False)
        self.said = b""
        self.seen = 0

    def read(self):
        try:
            data = os.read(self.fd, 65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.said += data
        return bool(data)

    def expect(self, text, deadline_s=30):
        """Wait for text behind what was expected before."""
        def there():
            self.read()
            return text.encode() in self.said[self.seen:]

        until(f"{text!r} on the terminal", there, deadline_s)
        self.seen = self.said.index(text.encode(), self.seen) + len(text.encode())

    def press(self, keys):
        os.write(self.fd, keys.encode())

    def wait_exit(self, deadline_s=30):
        status = []

        def ended():
            self.read()
            pid, code = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                status.append(os.waitstatus_to_exitcode(code))
            return pid

        until("it to end", ended, deadline_s)
        os.close(self.fd)
        self.pid = None
        return status[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self.fd)


@pytest.mark.smoke
def test_ctrl_c_in_chat_stops_the_answer_only(slow, tmp_path):
    state = {"XDG_STATE_HOME": str(tmp_path)}
    with Terminal("chat", slow.url, "--max-tokens", "5000", env=state) as chat:
        chat.expect("> ")
        chat.press("hello there\r")
        until("the answer to run", lambda: slow.running() == 1 and chat.read())
        chat.press("\x03")
        chat.expect("(stopped)")
        until("the worker to be free", slow.idle, 20)
        chat.expect("> ")
        chat.press("/hepl\r")
        chat.expect('did you mean "/help"')
        chat.expect("> ")
        chat.press("half a line\x03")
        chat.expect("leaves")
        chat.press("\x04")
        assert chat.wait_exit() == 0
    history = tmp_path / "stator" / "chat_history"
    assert "hello" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0


def test_the_table_is_redrawn_on_a_terminal_and_ctrl_c_works_there():
    with Terminal("serve", "--engine", "mock", "--port", "0") as terminal:
        terminal.expect("Ready in")
        assert b"\x1b[" in terminal.said and URL.search(terminal.said.decode(errors="replace"))
        terminal.press("\x03")
        terminal.expect("draining")
        assert terminal.wait_exit() == 0


def test_chat_shows_on_a_terminal_that_it_waits_and_why_an_answer_ended():
    with Deployment(graph=mock_graph(worker={"prefill-us-per-token": 100000})) as slow:
        with Terminal("chat", slow.url, "-n", "3") as terminal:
            terminal.expect("> ")
            terminal.press("a prompt of a few words\r")
            terminal.expect("waiting for the first word, 2 s")
            terminal.expect("\x1b[K")
            terminal.expect("(cut: ")
            terminal.press("\x04")
            assert terminal.wait_exit() == 0


def test_run_answers_on_standard_output_and_nothing_else(demo_model):
    args = ("run", demo_model, "-p", "Say hello.", "-n", "8", "--seed", "1")
    first, second = stator(*args), stator(*args, "--verbose")
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout.strip() and first.stdout == second.stdout
    assert not first.stderr
    assert re.search(r"answer +8 tokens", second.stderr), second.stderr


def test_run_reads_its_prompt_from_a_pipe(demo_model):
    done = stator("run", demo_model, "-n", "4", "--raw", input="Once upon a")
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_run_reads_control_tokens_of_a_raw_prompt_only(demo_model):
    def prompt_tokens(*args):
        done = stator("run", demo_model, "-v", "-n", "1", "-p", "<|im_start|>user\nHi<|im_end|>\n", *args)
        return int(re.search(r"prompt +(\d+) tokens", done.stderr).group(1))

    assert prompt_tokens("--raw") == 6
    assert prompt_tokens() > 20  # a message: its text stays text


def test_run_says_where_the_demo_model_comes_from(tmp_path):
    answer = stator("run", "demo", "-p", "hi", env={"STATOR_CACHE": str(tmp_path)})
    assert answer.returncode == 1
    assert str(tmp_path) in answer.stderr and '"make model"' in answer.stderr


def test_run_explains_a_model_that_is_none(tmp_path):
    (tmp_path / "x.gguf").write_text("no model")
    for path, word in ((tmp_path / "nothing.gguf", "No such file"), (tmp_path / "x.gguf", "GGUF")):
        done = stator("run", path, "-p", "x")
        assert done.returncode == 1
        assert word in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("args, given, said", [
    ((), "", "the prompt is empty"), ((), " \n\t", "the prompt is empty"), (("-p", ""), None, "the prompt is empty"),
    ((), b"caf\xe9", "not UTF-8: byte 0xe9 at offset 3"),
])
def test_run_refuses_what_is_no_prompt(demo_model, args, given, said):
    done = subprocess.run([stator_bin(), "run", demo_model, *args], input=given if isinstance(given, bytes) else (given or "").encode(),
                          capture_output=True, timeout=60)
    assert done.returncode == 2 and not done.stdout
    assert said in done.stderr.decode() and len(done.stderr.splitlines()) == 1, done.stderr


def test_run_takes_minus_one_as_no_top_k(demo_model):
    args = ("run", demo_model, "-p", "Say hello.", "-n", "6", "--seed", "3", "--temperature", "1")
    first, second = stator(*args, "--top-k", "-1"), stator(*args)
    assert first.returncode == 0 and first.stdout == second.stdout, first.stderr


def test_run_drops_no_system_message(tmp_path):
    model = tmp_path / "tiny.gguf"
    subprocess.run([sys.executable, ROOT / "tests" / "tiny_model.py", "--no-template", "llama", model], check=True, timeout=60)
    done = stator("run", model, "-p", "x", "-n", "1", "--system", "Be brief.")
    assert done.returncode == 1 and "a system message has no place" in done.stderr, done.stderr
    assert stator("run", model, "-p", "x", "-n", "1").returncode == 0


def test_install_puts_everything_below_destdir(tmp_path):
    root = pathlib.Path(__file__).resolve().parents[2]
    build = pathlib.Path(stator_bin()).parent
    if build != root / "build":
        pytest.skip("the program under test is not this tree's")
    subprocess.run(["make", "-C", root, "install", f"DESTDIR={tmp_path}", "PREFIX=/usr"], check=True, capture_output=True,
                   timeout=300)
    for path in ("bin/stator", "share/man/man1/stator.1", "share/bash-completion/completions/stator",
                 "share/zsh/site-functions/_stator", "share/fish/vendor_completions.d/stator.fish",
                 "lib/systemd/system/stator.service"):
        assert (tmp_path / "usr" / path).stat().st_size > 0
