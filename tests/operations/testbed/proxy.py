"""A proxy before an S3 store that injects faults: statuses, pages, drips, slow receivers, lost conditions, keys in listings."""

import http.client
import re
import socket
import ssl
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

CHUNK = 256 * 1024
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class Fault:
    """What happens to the requests whose `METHOD /path?query` matches a pattern. `times` bounds how often."""

    def __init__(self, pattern, times=None):
        self.pattern, self.times, self.seen = re.compile(pattern), times, 0

    def matches(self, line):
        return self.pattern.search(line) and (self.times is None or self.seen < self.times)


class Answer(Fault):
    """Answers by itself."""

    def __init__(self, pattern, status, body=b"", headers=None, times=None):
        super().__init__(pattern, times)
        self.status, self.body, self.headers = status, body if isinstance(body, bytes) else body.encode(), headers or {}


class Drip(Fault):
    """Sends the store's answer a few bytes at a time."""

    def __init__(self, pattern, size=1, every=1.0):
        super().__init__(pattern)
        self.size, self.every = size, every


class ReceiveSlowly(Fault):
    """Takes a body at this rate of bytes per second; 0 takes nothing more."""

    def __init__(self, pattern, rate):
        super().__init__(pattern)
        self.rate = rate


class WithoutCondition(Fault):
    """Lets every write succeed, as a store that does not know `If-None-Match`: what is there is removed first."""

    def __init__(self, pattern, remove):
        super().__init__(pattern)
        self.remove, self.lock = remove, threading.Lock()


def error_document(code, message=""):
    """Returns an S3 error as stores send it."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'


class Request:
    """A request that the proxy has seen."""

    def __init__(self, line, headers):
        self.line, self.headers, self.begun = line, headers, time.monotonic()
        self.status = self.ended = None

    @property
    def is_listing(self):
        return self.line.startswith("GET ") and "list-type=2" in self.line


class Proxy:
    """The proxy: faults can be set and removed at any moment; every request is kept."""

    def __init__(self, upstream_port, certificate=None, receive_buffer=None, bucket_in_host=None):
        self.upstream_port, self.faults, self.requests, self.extra_keys = upstream_port, [], [], []
        self.bucket_in_host, self.lock, self.closing = bucket_in_host, threading.Lock(), threading.Event()
        self.server = Server(self, receive_buffer)
        self.port = self.server.server_address[1]
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.scheme = "https" if certificate else "http"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def set(self, *faults):
        with self.lock:
            self.faults = list(faults)

    def fault_for(self, line):
        with self.lock:
            for fault in self.faults:
                if fault.matches(line):
                    fault.seen += 1
                    return fault
        return None

    def note(self, line, headers):
        request = Request(line, headers)
        with self.lock:
            self.requests.append(request)
        return request

    def seen(self, pattern, since=0.0):
        """Returns the requests whose line matches, from a moment on."""
        with self.lock:
            return [request for request in self.requests if request.begun >= since and re.search(pattern, request.line)]

    def listings(self, since=0.0):
        return [request for request in self.seen("^GET ", since) if request.is_listing]

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size, block_on_close = True, 256, False

    def __init__(self, proxy, receive_buffer):
        self.proxy, self.receive_buffer = proxy, receive_buffer
        super().__init__(("127.0.0.1", 0), Handler)

    def server_bind(self):
        # Connections inherit the buffer, which keeps a slow receiver from taking a body at once.
        if self.receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        super().server_bind()

    def handle_error(self, request, client_address):
        """Says nothing: clients go away in the middle, which is what is proved."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A response of several writes would wait for the client's acknowledgement.
    wbufsize = 64 * 1024

    def log_message(self, *arguments):
        """Writes no log: the requests are kept."""

    def handle_one(self):
        proxy = self.server.proxy
        line = f"{self.command} {self.path}"
        seen = proxy.note(line, dict(self.headers))
        fault = proxy.fault_for(line)
        try:
            if isinstance(fault, Answer):
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.answer(fault.status, fault.headers, fault.body)
                seen.status = fault.status
            else:
                body = self.body(fault)
                if body is not None:
                    self.forward(seen, body, fault)
        finally:
            seen.ended = time.monotonic()

    def body(self, fault):
        """Returns the body, or None if it was never received whole."""
        length = int(self.headers.get("content-length") or 0)
        if not isinstance(fault, ReceiveSlowly):
            return self.rfile.read(length)
        parts, received = [], 0
        while received < length:
            if self.server.proxy.closing.wait(0.1):
                self.close_connection = True
                return None
            if fault.rate:
                part = self.rfile.read1(min(length - received, max(1, fault.rate // 10)))
                if not part:
                    self.close_connection = True
                    return None
                parts.append(part)
                received += len(part)
        return b"".join(parts)

    def forward(self, seen, body, fault):
        if isinstance(fault, WithoutCondition):
            # The signature covers the header, so it cannot be left out. One at a time, or another's write would come between.
            with fault.lock:
                fault.remove(urllib.parse.unquote(self.path.partition("?")[0]).lstrip("/").partition("/")[2])
                return self.send_on(seen, body, fault)
        return self.send_on(seen, body, fault)

    def send_on(self, seen, body, fault):
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.proxy.upstream_port, timeout=120)
        try:
            upstream.request(self.command, self.path, body or None, headers)
            response = upstream.getresponse()
            seen.status = response.status
            if seen.is_listing and response.status == 200 and self.server.proxy.extra_keys:
                self.answer(200, dict(response.getheaders()), self.with_extra_keys(response.read()))
            else:
                self.relay(response, fault)
        finally:
            upstream.close()

    def relay(self, response, fault):
        length = response.getheader("content-length")
        if length is None and self.command != "HEAD":
            return self.answer(response.status, dict(response.getheaders()), response.read())
        self.head(response.status, dict(response.getheaders()), length)
        drips = isinstance(fault, Drip)
        while part := response.read(fault.size if drips else CHUNK):
            self.wfile.write(part)
            if drips:
                self.wfile.flush()
                if self.server.proxy.closing.wait(fault.every):
                    self.close_connection = True
                    return None
        return self.wfile.flush()

    def head(self, status, headers, length):
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        if length is not None:
            self.send_header("content-length", str(length))
        self.end_headers()

    def answer(self, status, headers, body):
        self.head(status, headers, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def with_extra_keys(self, page):
        """Adds keys to the last page of a listing, as a store would show them."""
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        prefix, delimiter, after = (query.get(name, [""])[0] for name in ("prefix", "delimiter", "start-after"))
        if b"<IsTruncated>true" in page:
            return page
        encode = urllib.parse.quote if query.get("encoding-type") == ["url"] else escape
        entries, folders = [], set()
        for key in self.server.proxy.extra_keys:
            if not key.startswith(prefix) or key <= after:
                continue
            rest = key[len(prefix):]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            else:
                entries.append(f"<Contents><Key>{encode(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                               '<ETag>"d41d8cd98f00b204e9800998ecf8427e"</ETag><Size>0</Size><StorageClass>STANDARD</StorageClass></Contents>')
        entries += [f"<CommonPrefixes><Prefix>{encode(folder)}</Prefix></CommonPrefixes>" for folder in sorted(folders)]
        return page.replace(b"</ListBucketResult>", "".join(entries).encode() + b"</ListBucketResult>")

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_one
