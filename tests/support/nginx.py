"""A real nginx with the configuration we ship, on free ports of loopback."""

import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.support.server import ROOT, free_port

MAIN = """
daemon off; master_process off; worker_processes 1; error_log {folder}/error.log info; pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    types {{ text/html html; text/css css; text/javascript js; }}
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


class Nginx:
    """`upstream` is host:port of what stands behind; `tls_upstream` where that is another nginx."""

    def __init__(self, folder: Path, upstream: int, *, tls_upstream: bool = False) -> None:
        folder.mkdir()
        self.folder, self.plain, self.port = folder, free_port(), free_port()
        (folder / "site.conf").write_text(self._site(upstream, tls_upstream))
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
        certificate(folder)
        self._process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)
        self._wait()

    def _site(self, upstream: int, tls_upstream: bool) -> str:
        site = (ROOT / "deploy" / "nginx.conf").read_text()
        changes = [(r"server 127\.0\.0\.1:8000;", f"server 127.0.0.1:{upstream};"), (r"listen 80;", f"listen 127.0.0.1:{self.plain};"),
                   (r"listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl"), (r"listen \[::\]:[^;]*;", ""),
                   (r"/etc/letsencrypt/live/ask\.example\.org", str(self.folder))]
        if tls_upstream:
            changes.append((r"proxy_pass http://", "proxy_pass https://"))
        for pattern, replacement in changes:
            site, count = re.subn(pattern, replacement, site)
            assert count, pattern
        return site

    def _wait(self) -> None:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None, (self.folder / "error.log").read_text()
                time.sleep(0.05)
        raise RuntimeError("nginx did not start")

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)


def certificate(folder: Path) -> None:
    """A certificate nobody else trusts, for 127.0.0.1."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")], check=True, capture_output=True)
