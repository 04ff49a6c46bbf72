"""`stator bench` against a real deployment: what it reports is what was asked; its mistakes are one sentence."""

import json
import shutil
import signal
import socket
import ssl
import subprocess
import threading

import pytest
from deployment import Process, stator_bin, until


def bench(*args, status=0):
    run = subprocess.run([stator_bin(), "bench", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True, timeout=120, check=False)
    assert run.returncode == status, run.stderr + run.stdout
    return run.stdout, run.stderr


@pytest.mark.smoke
def test_every_request_of_a_closed_loop_is_answered_and_counted(mock):
    out, _ = bench(mock.url, "--requests", 60, "--clients", 6, "--output-tokens", 20, "--prompt-tokens", "10-30", "--json")
    report = json.loads(out)
    assert report["requests"] == report["completed"] == 60
    assert report["failed"] == 0 and report["errors"] == []
    assert report["completion_tokens"] == 60 * 20
    assert 0 < report["ttft_ms"]["p50"] <= report["e2e_ms"]["p50"]


def test_conversations_with_shared_beginnings_find_them_cached(mock):
    out, _ = bench(mock.url, "-n", 24, "-c", 2, "-t", 4, "-p", 40, "--prefix-tokens", 200, "--prefix-groups", 2, "-o", 8, "--json")
    report = json.loads(out)
    assert report["completed"] == 24, report["errors"]
    assert report["cached_tokens"] > report["prompt_tokens"] / 3


def test_a_page_is_written_beside_the_table(mock, tmp_path):
    page = tmp_path / "load.html"
    out, err = bench(mock.url, "-n", 10, "-o", 8, "--slo-ttft", "10s", "--report", page)
    assert "10 answered, 0 failed" in out and "goodput" in out and "100.0 % of those sent" in out
    assert str(page) in err
    assert page.read_text().startswith("<!doctype html>") and "<polyline" in page.read_text()


def test_a_trace_is_replayed_and_shares_what_it_says_it_shares(mock, tmp_path):
    trace = tmp_path / "t.jsonl"
    rows = [{"timestamp": i * 20, "input_length": 600, "output_length": 4, "hash_ids": [i % 2, 100 + i]} for i in range(12)]
    trace.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out, _ = bench(mock.url, "--trace", trace, "--speed", 0.5, "--endpoint", "completions", "--json")
    report = json.loads(out)
    assert report["completed"] == 12, report["errors"]
    assert report["completion_tokens"] == 48
    assert report["duration_s"] >= 11 * 0.04
    assert report["cached_tokens"] > 0.4 * report["prompt_tokens"]


def test_ctrl_c_shows_what_was_measured_so_far(mock):
    process = Process("bench", mock.url, "--duration", "1h", "-c", 2, "-o", 8)
    try:
        until("requests to run", mock.running)
        process.popen.send_signal(signal.SIGINT)
        assert process.wait_exit(60) == 0
        assert "stopped before its end" in process.output
    finally:
        process.kill_all()


@pytest.mark.parametrize("args, said", [
    (["http://127.0.0.1:1"], "could not connect to 127.0.0.1:1"),
    (["https://127.0.0.1:1"], "could not connect to 127.0.0.1:1"),
    (["unix:nowhere"], "unix:/path/to.sock"),
    (["--prompt-tokens", "many"], "is not a number from 1"),
    (["--duration", "0s"], "would never end"),
    (["--warmup", "20s", "--duration", "10s"], "nothing would be counted"),
    (["--client", "4"], "did you mean"),
    (["--trace", "/nowhere.jsonl"], "/nowhere.jsonl"),
])
def test_mistakes_are_one_sentence(args, said):
    run = subprocess.run([stator_bin(), "bench", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=60, check=False)
    assert run.returncode in (1, 2)
    assert said in run.stdout


def test_a_model_that_is_not_there_fails_with_the_servers_words(mock):
    out, _ = bench(mock.url, "-n", 4, "-m", "nope", status=1)
    assert "4 failed" in out and "status 404" in out


def test_some_failed_requests_make_the_exit_status_1(mock):
    out, _ = bench(mock.url, "-n", 6, "-o", 8, "-p", "10-1400", "--seed", 3, "--json", status=1)
    report = json.loads(out)
    assert report["failed"] > 0 and report["completed"] > 0, report["errors"]


class TlsFront:
    """TLS in front of a server: each connection is copied to and fro."""

    def __init__(self, certificate, key, port):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.port = port
        self.listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except ssl.SSLError:
                continue  # a client that does not trust us
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            for a, b in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(a, b), daemon=True).start()

    @staticmethod
    def _copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.fixture
def tls_front(mock, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run([shutil.which("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
                    "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    front = TlsFront(certificate, key, int(mock.url.rsplit(":", 1)[1]))
    front.certificate = certificate
    yield front
    front.listener.close()


def test_a_server_behind_tls_is_asked_when_its_certificate_is_trusted(tls_front, monkeypatch):
    _, err = bench(tls_front.url, "-n", 2, status=1)
    assert "could not trust the certificate of \"127.0.0.1\"" in err and "SSL_CERT_FILE" in err
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_front.certificate))
    out, _ = bench(tls_front.url, "-n", 20, "-c", 4, "-o", 30, "--json")
    report = json.loads(out)
    assert report["completed"] == 20 and report["completion_tokens"] == 600
    chat = subprocess.run([stator_bin(), "chat", tls_front.url], input="hello\n", capture_output=True, text=True, timeout=60, check=True)
    assert chat.stdout.strip()
