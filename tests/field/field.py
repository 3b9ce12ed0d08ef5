"""Mixes refused and good requests over the connection pools of client libraries, directly and behind HAProxy.

Every refused request leaves its body unread: the engine could answer it from the head. If the engine then closed the connection
unannounced, the client's next good request would be lost. Each client of `clients/` sends the same requests in the same order, and
prints what it saw of each. This program counts: good requests without a 200, refused ones without the status of their refusal,
and requests that a library sent again by itself. It fails if one good request or one refusal was lost.
"""

import argparse
import csv
import http.client
import json
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

MAX_BODY_BYTES = 1_000_000
# Beyond what the engine reads of an unread body before it answers: such a response has to announce that the connection closes.
LARGE_BYTES, MEDIUM_BYTES, TOO_LARGE_BYTES = 950_000, 90_000, 1_500_000
SIZES = {"small": 70, "medium": 20, "large": 10}
CHUNKED_SHARE = 0.15
CLIENT_TIMEOUT_SECONDS = 1500


class Kind:
    """A kind of request: the statuses that it may get, and what makes it so."""

    def __init__(self, name, statuses, method="POST", path="/predict", headers=None, key="good", bodies=None):
        self.name, self.statuses, self.method, self.path, self.key = name, statuses, method, path, key
        self.headers, self.bodies = headers or {}, bodies


REFUSED = [
    Kind("400 timeout header", [400], headers={"x-request-timeout-ms": "soon"}),
    Kind("401 no key", [401], key=None),
    Kind("401 wrong key", [401], key="wrong"),
    Kind("403 scope", [403], key="reader"),
    Kind("403 other site", [403], headers={"origin": "https://other.example"}),
    Kind("404 path", [404], path="/nothing"),
    Kind("404 model", [404], path="/models/nothing/predict"),
    Kind("405 method", [405], path="/models"),
    Kind("405 put", [405], method="PUT"),
    Kind("413 length", [413], bodies=["too-large"]),
    Kind("415 csv", [415], headers={"content-type": "text/csv"}),
    Kind("415 coding", [415], headers={"content-encoding": "compress"}),
    Kind("421 host", [421], headers={"host": "other.example"}),
    # Its address is always the same. Once a second the bucket of its address has a request to spare.
    Kind("429 rate", [429, 200, 400, 413], headers={"x-forwarded-for": "198.51.100.7"}),
    Kind("501 outcomes", [501], path="/outcomes"),
    Kind("503 model", [503], path="/models/broken/predict"),
]
GOOD = [Kind("good row", [200], bodies=["row"]), Kind("good batch", [200], bodies=["batch"])]

# httpx over HTTP/2 sends from tasks of one thread. httpcore does not lock its HTTP/2 state, so several threads send frames in an order
# that HTTP/2 forbids, and every server ends the connection (https://github.com/pydantic/httpx2/pull/1153).

# The command of each client. It is left out if one of the words in braces is missing.
CLIENTS = {
    "requests": ["{python}", "{clients}/requests_client.py"],
    "httpx": ["{python}", "{clients}/httpx_client.py"],
    "httpx, HTTP/2": ["{python}", "{clients}/httpx_async_client.py"],
    "aiohttp": ["{python}", "{clients}/aiohttp_client.py"],
    "axios": ["{node}", "{clients}/axios_client.mjs"],
    "undici": ["{node}", "{clients}/undici_client.mjs"],
    "undici, fetch": ["{node}", "{clients}/undici_client.mjs", "--fetch"],
    "Go": ["{go}"],
    "Go, HTTP/2": ["{go}", "--http2"],
    "Java": ["{java}", "-Djdk.httpclient.allowRestrictedHeaders=host", "-cp", "{classes}", "JavaClient"],
    "curl": ["{python}", "{clients}/curl_client.py"],
    "curl, HTTP/2": ["{python}", "{clients}/curl_client.py", "--http2"],
}

# `fetch` chooses the host by itself.
CANNOT = {"undici, fetch": {"421 host"}}

# name: what HAProxy speaks to the engine; None is the engine itself.
WAYS = {"direct": None, "HAProxy": "proto h1", "HAProxy, HTTP/2": "proto h2"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="the folder of the engine and the exporter")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="an empty folder for models, bodies and logs")
    parser.add_argument("--refused", type=int, default=10_000, help="refused requests of each client on each way")
    parser.add_argument("--workers", type=int, default=4, help="requests in flight of each client")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--client", action="append", choices=CLIENTS, help="only this client")
    parser.add_argument("--way", action="append", choices=WAYS, help="only this way")
    parser.add_argument("--clients", type=pathlib.Path, required=True, help="the folder of the clients, beside `node_modules`")
    parser.add_argument("--go", help="the compiled Go client")
    parser.add_argument("--classes", help="the folder of the compiled Java client")
    arguments = parser.parse_args()
    # An interrupted proof leaves no server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    places = {"python": sys.executable, "node": shutil.which("node"), "java": arguments.classes and shutil.which("java"),
              "go": arguments.go, "classes": arguments.classes, "clients": arguments.clients.resolve()}
    field = Field(arguments)
    try:
        field.run(places)
    finally:
        field.stop()
    field.report()


class Field:
    """The engine, HAProxy before it, and what the clients saw."""

    def __init__(self, arguments):
        self.arguments, self.work = arguments, arguments.work.resolve()
        self.processes, self.rows, self.problems, self.left_out = [], [], [], []
        self.sent = 0

    def run(self, places):
        self.work.mkdir(parents=True, exist_ok=True)
        row = self.prepare_models()
        keys = self.create_keys()
        self.engine_port = free_port()
        self.start_engine()
        self.write_bodies(row)
        ways = self.start_haproxy()
        for way, port in ways.items():
            for name, command in CLIENTS.items():
                if self.arguments.client and name not in self.arguments.client:
                    continue
                missing = [word for word in re.findall(r"{(\w+)}", " ".join(command)) if not places[word]]
                if missing:
                    self.leave_out(name, f"there is no {missing[0]}")
                    continue
                command = [word.format(**places) for word in command]
                self.run_client(way, port, name, command, self.write_plan(name, keys))

    def leave_out(self, what, why):
        if (what, why) not in self.left_out:
            self.left_out.append((what, why))
            print(f"LEFT OUT: {what}, because {why}.", flush=True)

    # What is served.

    def program(self, name):
        return str(self.arguments.programs.resolve() / name)

    def prepare_models(self):
        models = self.work / "models"
        train = [self.program("onnward-exporter"), "train", "--schema", "schemas/telco.toml", "--sample", "2000", "--repository",
                 str(models), "--model", "churn", "--candidates", "logistic", "--folds", "2", "--out", str(self.work / "report")]
        check(train, self.work / "train.log")
        broken = models / "broken" / "1"
        broken.mkdir(parents=True)
        (broken / "model.onnx").write_bytes(b"This is no model.")
        return models

    def create_keys(self):
        keys = {}
        for name, scopes in [("good", "predict,outcomes,read"), ("reader", "read")]:
            command = [self.program("onnward-engine"), "api-key", name, "--scopes", scopes, "--file", str(self.work / "keys.toml")]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            keys[name] = re.search(r"onnward_\S+", printed).group()
        keys["wrong"] = keys["good"][:-4] + "0000"
        return keys

    def start_engine(self):
        config = self.work / "engine.toml"
        config.write_text(f"""default_model = "churn"
repository = "{self.work}/models"
listen = "127.0.0.1:{self.engine_port}"
[http]
max_body_bytes = {MAX_BODY_BYTES}
allowed_hosts = ["127.0.0.1"]
[auth]
keys_file = "{self.work}/keys.toml"
[limits]
requests_per_second_per_address = 1
burst_per_address = 1
trusted_proxies = ["127.0.0.0/8"]
""", encoding="utf-8")
        log = open(self.work / "engine.log", "w")
        self.engine = subprocess.Popen([self.program("onnward-engine"), "serve", "--config", str(config)], stdout=log, stderr=log)
        self.processes.append(self.engine)
        wait_until("the engine is ready", lambda: self.ask("GET", "/health/ready")[0] == 200)

    def ask(self, method, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.engine_port, timeout=10)
        connection.request(method, path, headers={"x-forwarded-for": "203.0.113.1"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def write_bodies(self, models):
        examples = json.loads(self.ask("GET", "/openapi.json")[1])["paths"]["/predict"]["post"]["requestBody"]
        row = json.dumps(examples["content"]["application/json"]["examples"]["one"]["value"])
        rows = {"row": row, "small": row, "batch": json.dumps([json.loads(row)] * 50)}
        for name, size in [("medium", MEDIUM_BYTES), ("large", LARGE_BYTES), ("too-large", TOO_LARGE_BYTES)]:
            rows[name] = f"[{', '.join([row] * (size // (len(row) + 2)))}]"
        for name, text in rows.items():
            (self.work / f"{name}.json").write_text(text, encoding="utf-8")

    def start_haproxy(self):
        """Returns the port of each way."""
        wanted = {way: options for way, options in WAYS.items() if not self.arguments.way or way in self.arguments.way}
        ports = {way: self.engine_port if options is None else free_port() for way, options in wanted.items()}
        proxied = {way: options for way, options in wanted.items() if options}
        if not proxied:
            return ports
        if not shutil.which("haproxy"):
            self.leave_out("HAProxy", "there is no haproxy")
            return {way: port for way, port in ports.items() if way not in proxied}
        sections = [f"""
listen {options.replace(' ', '-')}
    bind 127.0.0.1:{ports[way]}
    http-reuse always
    server engine 127.0.0.1:{self.engine_port} {'' if options == 'proto h1' else options} pool-max-conn 100
""" for way, options in proxied.items()]
        config = self.work / "haproxy.cfg"
        config.write_text(f"""global
    stats socket {self.work}/haproxy.socket
    maxconn 1000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    # Otherwise HAProxy would hide what the engine does to its connections.
    retries 0
{''.join(sections)}""", encoding="utf-8")
        log = open(self.work / "haproxy.log", "w")
        self.processes.append(subprocess.Popen(["haproxy", "-db", "-f", str(config)], stdout=log, stderr=log))
        for way in proxied:
            wait_until("HAProxy listens", lambda way=way: socket.create_connection(("127.0.0.1", ports[way])).close() is None)
        return ports

    def proxy_figures(self, way):
        """Returns HAProxy's own counts: retries, and errors of the engine's connections."""
        if WAYS[way] is None:
            return {}
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(f"{self.work}/haproxy.socket")
        connection.sendall(b"show stat\n")
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        for line in csv.DictReader(text.removeprefix("# ").splitlines()):
            if line["pxname"] == WAYS[way].replace(" ", "-") and line["svname"] == "engine":
                return {name: int(line[name] or 0) for name in ("wretr", "econ", "eresp", "connect", "reuse")}
        return {}

    # What is sent.

    def write_plan(self, client, keys):
        """Writes the requests, one a line: id, method, path, framing, body, and headers, separated by tabs. Behind each refused one
        a good one follows, which would meet a connection that is closed unannounced."""
        choice = random.Random(self.arguments.seed)
        self.plan, lines = [], []
        refused = [kind for kind in REFUSED if kind.name not in CANNOT.get(client, ())]
        for number in range(self.arguments.refused):
            for kind in (choice.choice(refused), choice.choice(GOOD)):
                bodies = kind.bodies or choice.choices(list(SIZES), SIZES.values())
                body = choice.choice(bodies)
                framing = "chunked" if choice.random() < CHUNKED_SHARE else "length"
                # Every request has an address of its own, and so a bucket of its own, except for those with the 429.
                self.sent += 1
                address = f"10.{self.sent >> 16 & 255}.{self.sent >> 8 & 255}.{self.sent & 255}"
                headers = {"content-type": "application/json", "x-forwarded-for": address, **kind.headers}
                if kind.key:
                    headers["x-api-key"] = keys[kind.key]
                words = [len(self.plan), kind.method, kind.path, framing, self.work / f"{body}.json"]
                lines.append("\t".join(map(str, [*words, *(f"{name}: {value}" for name, value in headers.items())])))
                self.plan.append((kind, body, framing))
        path = self.work / "plan.tsv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def run_client(self, way, port, name, command, plan):
        command = [*command, f"http://127.0.0.1:{port}", str(plan), str(self.arguments.workers)]
        stem = re.sub(r"\W+", "-", f"{way}-{name}")
        output, errors = self.work / f"{stem}.out", self.work / f"{stem}.err"
        before, begun = self.proxy_figures(way), time.monotonic()
        with open(output, "w") as out, open(errors, "w") as err:
            client = subprocess.Popen(command, stdout=out, stderr=err, cwd=self.work)
            self.processes.append(client)
            try:
                status = client.wait(CLIENT_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                client.kill()
                status = f"nothing after {CLIENT_TIMEOUT_SECONDS} s"
            self.processes.remove(client)
        if status == 77:
            return self.leave_out(name, errors.read_text().strip().splitlines()[-1])
        if status != 0:
            self.problems.append(f"{way}, {name}: the client ended with {status}: {errors.read_text().strip()[-300:]}")
        if self.engine.poll() is not None:
            raise SystemExit(f"the engine has ended, see {self.work}/engine.log")
        after = self.proxy_figures(way)
        figures = {key: after[key] - before[key] for key in after}
        self.count(way, name, output.read_text(encoding="utf-8", errors="replace"), figures, time.monotonic() - begun)

    # What came of it.

    def count(self, way, name, text, figures, seconds):
        seen, retries = {}, "?"
        for line in text.splitlines():
            first, second, *rest = line.split("\t") + [""]
            if first == "retries":
                retries = second
            else:
                seen[int(first)] = (second, rest[0])
        counts = dict.fromkeys(("good", "refused", "good lost", "refusals lost", "wrong status"), 0)
        limited = 0
        for place, (kind, body, framing) in enumerate(self.plan):
            status, error = seen.get(place, ("-", "the client did not report it"))
            is_good = kind in GOOD
            counts["good" if is_good else "refused"] += 1
            limited += status == "429"
            if status.isdigit() and int(status) in kind.statuses:
                continue
            what = "good lost" if is_good else "wrong status" if status.isdigit() else "refusals lost"
            counts[what] += 1
            if counts[what] <= 5:
                self.problems.append(f"{way}, {name}: {what}: {kind.name}, {body}, {framing}, request {place}: {status} {error}")
        if self.arguments.refused >= 1000 and limited == 0:
            self.problems.append(f"{way}, {name}: no request was refused by rate")
        row = {"way": way, "client": name, **counts, "sent again": retries, **figures, "seconds": round(seconds)}
        self.rows.append(row)
        print(" ".join(f"{key}={value}" for key, value in row.items()), flush=True)

    def report(self):
        columns = ["way", "client", "good", "refused", "good lost", "refusals lost", "wrong status", "sent again",
                   "wretr", "econ", "eresp", "connect", "reuse", "seconds"]
        lines = [columns, *([str(row.get(column, "")) for column in columns] for row in self.rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
        print()
        for line in lines:
            print("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip())
        total = {name: sum(row[name] for row in self.rows) for name in ("good", "refused", "good lost", "refusals lost", "wrong status")}
        print("\n" + ", ".join(f"{value} {name}" for name, value in total.items()))
        for what, why in self.left_out:
            print(f"LEFT OUT: {what}, because {why}.")
        if not self.rows:
            raise SystemExit("no client ran")
        if self.problems:
            raise SystemExit("\n".join(["", *self.problems]))

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def check(command, log):
    with open(log, "w") as output:
        if subprocess.run(command, stdout=output, stderr=output).returncode:
            raise SystemExit(f"{' '.join(command)} failed: {log.read_text()[-500:]}")


def wait_until(what, holds, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
