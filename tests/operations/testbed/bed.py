"""What a case works with: a folder of its own, its store, the two programs, and what it expects of them."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
from pathlib import Path

from .case import Broken
from .load import Load
from .processes import wait_until
from .proxy import Proxy
from .stores import BUCKET

# The time between two looks of the engines here, and the store's timeout.
LOOK_MS, STORE_TIMEOUT_MS = 300, 2000
# Variables of the caller that would change what the programs do.
CALLERS_OWN = re.compile(r"^(AWS_|ONNWARD_|OTEL_|SSL_CERT|HTTPS?_PROXY|ALL_PROXY|NO_PROXY)", re.IGNORECASE)


class Finished:
    """A command that has ended."""

    def __init__(self, command, status, output, errors):
        self.command, self.status, self.output, self.errors = command, status, output, errors
        self.text = f"{output}\n{errors}".strip()

    @property
    def json(self):
        return json.loads(self.output)

    def __str__(self):
        return f"`{self.command}` ended with {self.status}: {self.text[-600:]}"


class Programs:
    """The engine and the exporter, and how they are called."""

    def __init__(self, folder):
        self.engine, self.exporter = (str(folder.resolve() / name) for name in ("onnward-engine", "onnward-exporter"))
        self.environment = {name: value for name, value in os.environ.items() if not CALLERS_OWN.match(name)}
        self.environment["AWS_EC2_METADATA_DISABLED"] = "true"


def run(command, environment, seconds=180):
    """Runs a command to its end. One that does not end is killed, and has the status None."""
    words = [str(word) for word in command]
    shown = " ".join([Path(words[0]).name, *words[1:]])
    process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, errors="replace", start_new_session=True)
    try:
        output, errors = process.communicate(timeout=seconds)
        return Finished(shown, process.returncode, output, errors)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        return Finished(shown, None, output, f"{errors}\nkilled after {seconds} s")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


class Bed:
    """The testbed of one case on one store. What `expect` finds is kept, and the case goes on."""

    def __init__(self, settings, processes, folder, store, samples):
        self.settings, self.processes, self.folder, self.store, self.samples = settings, processes, folder, store, samples
        self.programs, self.broken, self.stack = settings.programs, [], contextlib.ExitStack()
        self.engines, self.through = 0, None
        folder.mkdir(parents=True)
        # SeaweedFS makes a prefix a folder, so each case has one of its own.
        self.prefix = f"{folder.name}-{os.getpid()}"
        self.location = str(folder / "repository") if store is None else f"s3://{BUCKET}/{self.prefix}"

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.stack.close()

    # What is expected.

    def expect(self, holds, what):
        """Notes a promise that does not hold."""
        if not holds:
            self.broken.append(str(what))
        return bool(holds)

    def require(self, holds, what):
        """Ends the case if something does not hold without which the rest says nothing."""
        if not holds:
            raise Broken(str(what))
        return holds

    def expect_words(self, text, words, what):
        for word in words:
            self.expect(word.lower() in text.lower(), f"{what}: it does not say {word!r}: {text[-500:]}")

    # The store.

    def proxy(self, **options):
        """Puts a proxy before the store; all programs that start from now on go through it."""
        proxy = Proxy(self.store.port, **options)
        self.stack.callback(proxy.close)
        self.through = proxy.url
        return proxy

    def store_environment(self):
        return {} if self.store is None else self.store.environment(self.through)

    # The exporter.

    def export(self, *arguments, status=0, wrapper=(), environment=None, location=None, seconds=180):
        """Runs a command of the exporter on the repository. `status` is what it must end with; None is anything."""
        if self.store is not None and not self.store.honours_conditions and location is None:
            return self.export_by_hand(arguments, status)
        command = [*wrapper, self.programs.exporter, *arguments, "--repository", location or self.location]
        variables = {**self.programs.environment, **self.store_environment(), **(environment or {})}
        finished = run(command, {name: value for name, value in variables.items() if value is not None}, seconds)
        if status is not None:
            self.require(finished.status == status, finished)
        return finished

    def export_by_hand(self, arguments, status):
        """Runs a command on a folder, and copies what it changed into a store that the exporter refuses to write to."""
        copied, folder = set(self.files_by_hand()), self.folder / "by-hand"
        finished = run([self.programs.exporter, *arguments, "--repository", folder], self.programs.environment)
        if status is not None:
            self.require(finished.status == status, finished)
        files = self.files_by_hand()
        for name in files:
            if name not in copied:
                self.store.put(f"{self.prefix}/{name}", (folder / name).read_bytes())
        for name in copied - set(files):
            self.store.delete(f"{self.prefix}/{name}")
        return finished

    def files_by_hand(self):
        """Returns the files in the order in which they were written, so that no manifest comes before its model."""
        folder = self.folder / "by-hand"
        files = [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
        return [str(path.relative_to(folder)) for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)]

    def publish(self, sample, model="churn", *arguments, **options):
        """Publishes a prepared file. It is not checked first: this is proved elsewhere, and takes time."""
        return self.export("publish", self.samples.file(sample), "--model", model, "--no-check", *arguments, **options)

    def two_versions(self):
        """Publishes two versions; the first is the champion."""
        self.publish("logistic", "churn", "--alias", "champion")
        self.publish("forest")

    # The engine.

    def engine(self, **options):
        self.engines += 1
        engine = Engine(self, self.engines, **options)
        self.stack.callback(engine.stop)
        return engine


class Engine:
    """A running engine. Its configuration is given as lines of TOML; its cache outlives it if it is named."""

    def __init__(self, bed, number, lines=(), cache=None, wrapper=(), environment=None, location=None, look_ms=LOOK_MS,
                 store_timeout_ms=STORE_TIMEOUT_MS, ready=True, before=None):
        self.bed, self.log = bed, bed.folder / f"engine-{number}.log"
        self.cache = cache or bed.folder / f"cache-{number}"
        self.config = config = bed.folder / f"engine-{number}.toml"
        config.write_text("\n".join([
            f'repository = "{location or bed.location}"', 'listen = "127.0.0.1:0"', 'admin.listen = "127.0.0.1:0"',
            f"watch.interval_ms = {look_ms}", f"watch.max_backoff_ms = {4 * look_ms}", f"store.timeout_ms = {store_timeout_ms}",
            f'cache.folder = "{self.cache}"', 'log.format = "json"', "log.access_sample = 0.0", "shutdown.grace_ms = 100", *lines, ""]),
            encoding="utf-8")
        variables = {**bed.programs.environment, **bed.store_environment(), **(environment or {})}
        variables = {name: value for name, value in variables.items() if value is not None}
        self.process = bed.processes.start([*wrapper, bed.programs.engine, "serve", "--config", config], self.log, env=variables,
                                           preexec_fn=before)
        self.port = self.address('"message":"listening"')
        self.admin_port = self.address('"message":"listening for admin requests"')
        if ready:
            bed.require(self.becomes_ready(), f"the engine does not become ready: {self.get('/health/ready')[1]} {self.failed()}")

    def address(self, message):
        def found():
            lines = [line for line in self.log.read_text(errors="replace").splitlines() if message in line]
            return lines and json.loads(lines[0])["onnward.address"]

        address = wait_until(lambda: found() or self.process.poll() is not None and "ended")
        self.bed.require(address and address != "ended", f"the engine does not listen: {self.log.read_text(errors='replace')[-800:]}")
        return int(address.rpartition(":")[2])

    # What it answers.

    def ask(self, method, path, port=None, body=None, seconds=30):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=seconds)
        try:
            connection.request(method, path, body, {"content-type": "application/json"} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def get(self, path):
        return self.ask("GET", path)

    def predict(self, model="churn", row=None):
        return self.ask("POST", f"/models/{model}/predict", body=row or self.bed.samples.row())

    def status(self):
        return json.loads(self.get("/models")[1])

    def served(self):
        """Returns the served version of each model."""
        return {model["name"]: model["version"] for model in self.status()["models"]}

    def failed(self):
        return [(failure["name"], failure.get("version"), failure["step"], failure["reason"]) for failure in self.status()["failed"]]

    def serves(self, version, model="churn", seconds=20):
        return wait_until(lambda: self.served().get(model) == version, seconds)

    def is_ready(self):
        return self.get("/health/ready")[0] == 200

    def becomes_ready(self, seconds=60):
        return wait_until(self.is_ready, seconds)

    def reload(self, seconds=30):
        return self.ask("POST", "/admin/reload", self.admin_port, seconds=seconds)

    def metric(self, name, **labels):
        """Returns the sum of a metric's series that have these labels, or None if there is none."""
        values = []
        for line in self.get("/metrics")[1].splitlines():
            if re.match(rf"{name}(\{{|\s)", line) and all(f'{label}="{value}"' in line for label, value in labels.items()):
                values.append(float(line.rpartition(" ")[2]))
        return sum(values) if values else None

    def lines(self, *levels):
        """Returns the log's lines, of some levels alone if they are given."""
        lines = [json.loads(line) for line in self.log.read_text(errors="replace").splitlines() if line.startswith("{")]
        return [line for line in lines if not levels or line["log.level"] in levels]

    def said(self, *words):
        """Returns the lines of the log that have all these words."""
        return [line for line in self.lines() if all(word.lower() in json.dumps(line, ensure_ascii=False).lower() for word in words)]

    def load(self, model="churn", **options):
        load = Load(self.port, f"/models/{model}/predict", self.bed.samples.row(), **options)
        self.bed.stack.callback(load.end)
        return load

    def threads(self):
        found = re.search(r"^Threads:\s*(\d+)", Path(f"/proc/{self.process.pid}/status").read_text(), re.MULTILINE)
        return int(found.group(1))

    # How it ends.

    def is_alive(self):
        return self.process.poll() is None

    def send_signal(self, number):
        self.process.send_signal(number)

    def stop(self, how=signal.SIGTERM):
        return self.bed.processes.stop(self.process, how)


class Samples:
    """The files that cases publish, made once: two models of the same rows, another of other rows, and a row."""

    def __init__(self, settings, folder):
        self.settings, self.folder, self.made_row = settings, folder, None
        folder.mkdir(parents=True)

    def make(self):
        for name, schema, seed in [("telco", "telco", 1), ("retrained", "telco", 2), ("bank", "bank", 1)]:
            self.train(name, schema, "--sample", "1000", "--seed", seed, "--candidates", "logistic,forest", "--folds", "2",
                       "--forest-trees", "20")
        self.rows = self.folder / "rows.jsonl"
        self.check("sample", "--schema", "schemas/telco.toml", "--rows", "5", "--seed", "7", "--format", "jsonl", "--out", self.rows)

    def train(self, name, schema, *arguments, seconds=600):
        self.check("train", "--schema", f"schemas/{schema}.toml", "--repository", self.folder / f"{name}-repository", "--model", "made",
                   "--out", self.folder / name, *arguments, seconds=seconds)

    def check(self, *arguments, seconds=600):
        finished = run([self.settings.programs.exporter, *arguments], self.settings.programs.environment, seconds)
        if finished.status != 0:
            raise SystemExit(f"the samples cannot be made: {finished}")

    def file(self, name):
        """Returns a file: `logistic`, `forest`, `retrained` or `bank`, or one by its path."""
        known = {"logistic": "telco/logistic", "forest": "telco/forest", "retrained": "retrained/forest", "bank": "bank/logistic"}
        return self.folder / f"{known[name]}.onnx" if name in known else Path(name)

    def row(self):
        return self.rows.read_text(encoding="utf-8").splitlines()[0]

    def challenger(self):
        """Returns a large forest: 172 MB by default. Fitting it takes minutes, so it is kept for the next run."""
        trees = self.settings.challenger_trees
        kept = self.settings.kept / f"challenger-{trees}.onnx"
        if not kept.exists():
            self.train("challenger", "telco", "--sample", "40000", "--candidates", "forest", "--folds", "2", "--forest-trees", trees,
                       "--forest-min-samples-leaf", "1", "--forest-min-samples-split", "2", seconds=3600)
            kept.parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "challenger/forest.onnx").rename(kept)
        return kept
