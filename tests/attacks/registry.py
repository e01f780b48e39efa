"""A registry with one small image, on loopback."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import platform
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _layer(text: bytes) -> bytes:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo("etc/owner")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return tar.getvalue()


def _image(text: bytes) -> tuple[bytes, dict[str, bytes]]:
    layer = _layer(text)
    rootfs = {"type": "layers", "diff_ids": [_digest(layer)]}
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    config = json.dumps({"architecture": architecture, "os": "linux", "rootfs": rootfs}).encode()

    def described(kind: str, content: bytes) -> dict[str, object]:
        return {"mediaType": kind, "digest": _digest(content), "size": len(content)}

    manifest = json.dumps({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described("application/vnd.oci.image.config.v1+json", config),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", layer)],
    }).encode()
    return manifest, {_digest(content): content for content in (layer, config, manifest)}


@contextlib.contextmanager
def registry(text: bytes) -> Iterator[str]:
    """The reference of an image whose only file says `text`."""
    manifest, blobs = _image(text)

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            name = self.path.rsplit("/", 1)[-1]
            content = manifest if "/manifests/" in self.path else blobs.get(name)
            if self.path == "/v2/":
                content = b"{}"
            self.send_response(404 if content is None else 200)
            content = content or b""
            kind = MANIFEST if "/manifests/" in self.path else "application/octet-stream"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}/tenant/private:1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
