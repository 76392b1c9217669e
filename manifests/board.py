"""The board of the demo: serves the shared report on loopback. It stands for any program that you already have."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SHARED = Path(os.environ["HAYMAKER_SOURCE_DIR"], os.environ["SHARED_DIR"]).resolve()
WAITING = b"<!doctype html><title>Board</title><p>No report has been published yet.</p>\n"
PAGES = {"/": ("index.html", "text/html; charset=utf-8"), "/report.md": ("report.md", "text/plain; charset=utf-8")}


class Board(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name, kind = PAGES.get(self.path, ("", ""))
        if not name:
            self.send_error(404)
            return
        try:
            body = (SHARED / name).read_bytes()
        except FileNotFoundError:
            kind, body = "text/html; charset=utf-8", WAITING
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, template: str, *values: object) -> None:
        print(template % values, flush=True)


def main() -> None:
    config = json.loads(Path(os.environ["HAYMAKER_CONFIG"]).read_text(encoding="utf-8"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ThreadingHTTPServer(("127.0.0.1", config["port"]), Board) as server:
        print(f"The board is at http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
