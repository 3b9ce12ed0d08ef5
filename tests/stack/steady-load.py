"""A steady load of predictions over TLS, for the proofs of tests/stack: python3 steady-load.py URL CA.pem ROW.json REPORT [CLIENTS [PAUSE_MS]]

Each client keeps a connection and sends a row, waits, and sends it again, until the process is told to end. REPORT holds, as JSON,
how many requests were answered with each status since the last SIGUSR1, which begins a new count; what broke a connection counts
as `broken`. A client whose kept connection was closed by the server before it took the request opens a new one, as browsers and
HTTP libraries do.
"""

import collections
import http.client
import json
import os
import signal
import ssl
import sys
import threading
import time
import urllib.parse

url, authority, row, report = sys.argv[1:5]
clients, pause = int((sys.argv[5:] or ["4"])[0]), float((sys.argv[6:] or ["20"])[0]) / 1000
address = urllib.parse.urlsplit(url)
context = ssl.create_default_context(cafile=authority)
body = open(row, "rb").read()
counts, reasons, lock = collections.Counter(), collections.Counter(), threading.Lock()


def connect():
    return http.client.HTTPSConnection(address.hostname, address.port, context=context, timeout=40)


def ask(connection):
    """The status of one answer. A connection that was closed while it was idle is opened again, once."""
    for fresh in (False, True):
        try:
            connection.request("POST", "/predict", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            return str(answer.status)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            connection.close()
            if fresh:
                raise


def client():
    connection = connect()
    while True:
        try:
            status = ask(connection)
        except (OSError, http.client.HTTPException) as error:
            status = "broken"
            with lock:
                reasons[repr(error)] += 1
            connection.close()
        with lock:
            counts[status] += 1
        time.sleep(pause)


def write(*_):
    with lock:
        text = json.dumps({"statuses": dict(counts), "reasons": dict(reasons)})
    with open(f"{report}.new", "w") as file:
        file.write(text)
    os.replace(f"{report}.new", report)


def begin_anew(*_):
    counts.clear()
    reasons.clear()


signal.signal(signal.SIGUSR1, begin_anew)
for _ in range(clients):
    threading.Thread(target=client, daemon=True).start()
while True:
    time.sleep(0.5)
    write()
