"""Tracking servers for tests: MLflow's own, and ones that fail."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.repository import wait_until


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class MlflowServer:
    """`mlflow server` on this machine, which can be killed, started again, frozen and thawed."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self):
        places = ("--backend-store-uri", f"sqlite:///{self.folder}/server.db", "--artifacts-destination", self.folder)
        where = ("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1")
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *where, *map(str, places)],
                cwd=self.folder,
                env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        assert wait_until(self.answers, 120), (self.folder / "server.log").read_text()

    def answers(self):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
            return answer.status == 200
        return False

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait(30)

    @contextlib.contextmanager
    def frozen(self):
        """It takes connections, and answers nothing."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def signal(self, number):
        os.killpg(self.process.pid, number)


class Failing:
    """A server that hangs, or answers each request with a status, and keeps what it was asked."""

    def __init__(self, status=None):
        self.asked: list[str] = []
        self._ended = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def answer(handler):  # noqa: N805
                self.asked.append(handler.path)
                if status is None:
                    self._ended.wait(60)
                    return
                handler.send_response(status)
                handler.send_header("Retry-After", "600")
                handler.send_header("Content-Length", "0")
                handler.end_headers()

            do_GET = do_POST = do_PUT = do_PATCH = answer  # noqa: N815

            def log_message(handler, *_):  # noqa: N805
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
