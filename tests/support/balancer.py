"""A real nginx before servers of the suite, with what streaming needs and nothing else."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import requests

from tests.support.server import free_port

CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream tickertape {{ {servers} keepalive 32; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass http://tickertape;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_buffering off;
            proxy_read_timeout 90s;
        }}
    }}
}}
"""


class Balancer:
    """Spreads requests over `ports`, one after the other."""

    def __init__(self, *ports: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tickertape-nginx-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        servers = " ".join(f"server 127.0.0.1:{port} max_fails=0;" for port in ports)
        configuration = self._folder / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=self._folder, port=self.port, servers=servers))
        self._process = subprocess.Popen(["nginx", "-p", self._folder, "-c", configuration, "-e", self._folder / "error.log"])
        for _ in range(200):
            try:
                if requests.get(f"{self.url}/healthz", timeout=2).ok:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.05)
        raise RuntimeError((self._folder / "error.log").read_text())

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)
