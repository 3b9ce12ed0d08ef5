"""A day in the life of a model: published, checked, promoted, compared, pinned, rolled back, copied, signed, pruned, repaired, upgraded.

Every command runs as an operator runs it, with `--output json`. Its exit status is held against the documents, and what it prints
against the schemas in exporter/outputs.schema.json; what engines answer, against their own OpenAPI document. Staging and production
are two buckets of a store, or two folders.

No engine of a former release exists yet. So the upgrade takes what a former release would leave: a repository whose manifests have
no more than the required keys, external files as they were published without a manifest's summary, and an engine that is replaced
under load by another on the same cache.
"""

import json
import shutil
from pathlib import Path

import jsonschema
from testbed.bed import run
from testbed.case import CONDITIONAL, FOLDER, case
from testbed.processes import wait_until
from testbed.stores import BUCKET, PRODUCTION

ROOT = Path(__file__).parents[2]
SUCCESS, FAILURE, NO_SENSE, NOT_SERVED = 0, 1, 2, 3
REQUIRED_KEYS = ("sha256", "size_bytes", "created")


@case(stores=(FOLDER, *CONDITIONAL))
def a_day_in_the_life_of_a_model_goes_as_the_documents_say(bed):
    """From publish to upgrade, each command has the exit status and prints the JSON that the documents state."""
    day = Day(bed)
    for step in (day.publish_and_check, day.promote_and_wait, day.compare, day.pin_and_roll_back, day.sign, day.copy_to_production,
                 day.show, day.err, day.prune, day.repair, day.upgrade):
        step()
    return f"{day.commands} commands, {day.answers} answers of engines"


@case()
def commands_of_the_engine_print_json(bed):
    """`check`, `predict`, `health` and `reload` take `--output json`, and print their results and errors as JSON."""
    bed.publish("logistic")
    engine = bed.engine()
    url, admin = f"http://127.0.0.1:{engine.port}", f"http://127.0.0.1:{engine.admin_port}"
    row = bed.folder / "row.json"
    row.write_text(bed.samples.row(), encoding="utf-8")
    model = bed.samples.file("logistic")
    nobody = "http://127.0.0.1:1"
    for words, status in ((["check", model], SUCCESS), (["predict", model, row], SUCCESS), (["health", "--url", url], SUCCESS),
                          (["reload", "--url", admin], SUCCESS), (["check", row], FAILURE), (["health", "--url", nobody], FAILURE)):
        done = run([bed.programs.engine, *words, "--output", "json"], bed.programs.environment)
        if bed.expect(done.status == status, f"{done} and not with {status}"):
            text = done.output if status == SUCCESS else done.errors.strip().splitlines()[-1]
            bed.expect(is_json(text), f"that is no JSON: {done}")


def is_json(text):
    try:
        return isinstance(json.loads(text), (dict, list))
    except ValueError:
        return False


class Day:
    def __init__(self, bed):
        self.bed, self.commands, self.answers = bed, 0, 0
        self.staging = bed.location
        self.production = bed.location.replace(f"s3://{BUCKET}", f"s3://{PRODUCTION}") if bed.store else str(bed.folder / "production")
        self.schemas = json.loads((ROOT / "exporter/outputs.schema.json").read_text(encoding="utf-8"))
        self.key = bed.folder / "release"

    # How commands are run.

    def run(self, *words, status=SUCCESS, on=None, environment=None):
        """Runs a command of the exporter, and returns its result, which fits the schema of its name."""
        words = [str(word) for word in words]
        places = [] if words[0] in ("keygen", "inspect") else ["--repository", on or self.staging]
        command = [self.bed.programs.exporter, *words, *places, "--output", "json"]
        done = run(command, {**self.bed.programs.environment, **self.bed.store_environment(), "ONNWARD_ACTOR": "operator",
                             **(environment or {})})
        self.commands += 1
        self.bed.require(done.status == status, f"{done} and not with {status}")
        if status in (FAILURE, NO_SENSE):
            lines = done.errors.strip().splitlines()
            result, name = json.loads(lines[-1]), "error"
        else:
            result, name = done.json, self.name(words)
        try:
            jsonschema.validate(result, {"$ref": f"#/$defs/{name}", "$defs": self.schemas["$defs"]})
        except jsonschema.ValidationError as error:
            self.bed.broken.append(f"`{' '.join(words)}`: {error.json_path}: {error.message}")
        return result

    @staticmethod
    def name(words):
        """Returns the name of a command's schema."""
        if words[0] == "alias":
            return " ".join(words[:2])
        return "comparison" if "--compare" in words else words[0]

    def answer(self, engine, path):
        """Returns an engine's answer, which fits the engine's own document."""
        document = json.loads(engine.get("/openapi.json")[1])
        status, text = engine.get(path)
        self.bed.require(status == 200, f"{path}: {status} {text}")
        template = "/models/{name}" if path != "/models" else path
        content = document["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        self.answers += 1
        try:
            jsonschema.validate(json.loads(text), {**content, "components": document["components"]})
        except jsonschema.ValidationError as error:
            self.bed.broken.append(f"{path}: {error.json_path}: {error.message}")
        return json.loads(text)

    def expect(self, holds, what):
        self.bed.expect(holds, what)

    # The day.

    def publish_and_check(self):
        file = self.bed.samples.file
        checked = run([self.bed.programs.engine, "check", file("logistic"), "--output", "json"], self.bed.programs.environment)
        self.expect(checked.status == SUCCESS and checked.json, checked)
        self.run("inspect", file("logistic"))
        planned = self.run("publish", file("logistic"), "--model", "churn", "--dry-run")
        self.expect(planned["dry_run"] and planned["version"] == 1, f"a dry run says {planned}")
        self.run("publish", file("logistic"), "--model", "churn", "--alias", "champion", "--check", "--author", "ada",
                 "--commit", "3f1c2d9", "--tag", "run=1738")
        self.run("publish", file("forest"), "--model", "churn", "--check")
        self.run("publish", file("forest"), "--model", "churn", "--no-check")
        self.run("publish", file("retrained"), "--model", "churn", "--no-check", "--tag", "run=1739")
        self.engine = self.bed.engine()

    def promote_and_wait(self):
        engine = f"http://127.0.0.1:{self.engine.port}"
        planned = self.run("promote", "churn", "2", "--dry-run")
        self.expect(planned["dry_run"] and planned["to"] == 2, f"a dry run says {planned}")
        self.expect(self.engine.served() == {"churn": 1}, "a dry run has moved the alias")
        waited = self.run("promote", "churn", "2", "--wait", engine)
        self.expect([one["serving"] for one in waited["engines"]] == [2], f"it waited for {waited}")
        self.expect(self.engine.served() == {"churn": 2}, "it ended before the engine served")
        self.answer(self.engine, "/models")
        self.answer(self.engine, "/models/churn")
        admin = f"http://127.0.0.1:{self.engine.admin_port}"
        for words, status in ((["health", "--url", engine], SUCCESS), (["reload", "--url", admin], SUCCESS),
                              (["health", "--url", "http://127.0.0.1:1"], FAILURE), (["health", "--url"], NO_SENSE)):
            done = run([self.bed.programs.engine, *words], self.bed.programs.environment)
            self.commands += 1
            self.expect(done.status == status, f"{done} and not with {status}")
        self.run("promote", "churn", "3", "--wait", engine, "http://127.0.0.1:1", "--wait-timeout", "3", status=NOT_SERVED)
        self.expect(self.engine.serves(3), "the engine that is there does not serve version 3")

    def compare(self):
        compared = self.run("versions", "churn", "--compare", "1", "2")
        self.expect(len(compared["figures"]) > 3 and not compared["differences"], f"the comparison is {compared}")
        listed = self.run("versions", "churn")["versions"]
        self.expect({version["version"] for version in listed} == {1, 2, 3}, f"versions {listed}")

    def pin_and_roll_back(self):
        engine = f"http://127.0.0.1:{self.engine.port}"
        self.run("pin", "churn", "1")
        self.expect(self.engine.serves(1), "a pin is not followed")
        self.run("unpin", "churn")
        self.expect(self.engine.serves(3), "without the pin the alias is not followed")
        self.run("rollback", "churn", "--dry-run")
        back = self.run("rollback", "churn", "--wait", engine)
        self.expect(back["to"] == 2, f"the rollback goes to {back}")
        self.run("alias", "set", "churn", "challenger", "3")
        self.expect(len(self.run("alias", "list", "churn")["aliases"]) == 2, "two aliases are not listed")
        self.run("alias", "delete", "churn", "challenger")
        moves = self.run("history", "churn", "champion")["entries"]
        self.expect(len(moves) >= 4, f"the history has {moves}")

    def sign(self):
        self.run("keygen", "--out", self.key)
        self.run("sign", "churn", "2", "--key", f"{self.key}.pem", "--dry-run")
        self.run("sign", "churn", "2", "--key", f"{self.key}.pem")
        signed = [version for version in self.run("versions", "churn")["versions"] if version.get("signed_by")]
        self.expect([version["version"] for version in signed] == [2], f"signed are {signed}")

    def copy_to_production(self):
        planned = self.run("copy", "churn", "2", "--from", self.staging, "--dry-run", on=self.production)
        self.expect(planned["dry_run"] and planned["changes"], f"a dry run says {planned}")
        copied = self.run("copy", "churn", "2", "--from", self.staging, on=self.production)
        again = self.run("copy", "churn", "2", "--from", self.staging, on=self.production)
        self.expect(copied["signed_by"] and not again["changes"], f"copied: {copied}, and again: {again}")
        self.run("promote", "churn", "2", on=self.production)
        strict = self.bed.engine(location=self.production, lines=[f'signing.public_keys = ["{self.key}.pub.pem"]'])
        self.expect(self.answer(strict, "/models/churn")["serving"]["version"] == 2, "production does not serve the signed version")
        self.run("copy", "churn", "3", "--from", self.staging, on=self.production)
        self.run("promote", "churn", "3", "--wait", f"http://127.0.0.1:{strict.port}", "--wait-timeout", "20", on=self.production,
                 status=NOT_SERVED)
        self.expect(strict.served() == {"churn": 2}, "production serves a version that nobody signed")
        self.run("rollback", "churn", "--wait", f"http://127.0.0.1:{strict.port}", on=self.production)
        out = self.bed.folder / "pulled"
        pulled = self.run("pull", "churn", "2", "--out", out, on=self.production)
        self.expect(pulled["sha256"] == copied["sha256"], f"pulled {pulled}")
        strict.stop()

    def show(self):
        self.run("tag", "churn", "2", "reviewed=yes", "--dry-run")
        self.run("tag", "churn", "2", "reviewed=yes")
        tags = {version["version"]: version.get("tags") for version in self.run("versions", "churn")["versions"]}
        self.expect(tags[2] == {"reviewed": "yes"}, f"tags {tags}")
        self.expect([model["model"] for model in self.run("models")["models"]] == ["churn"], "models lists others than churn")
        entries = self.run("audit")["entries"]
        self.expect(any(entry.get("who") == "operator" for entry in entries), "the audit log does not name the operator")

    def err(self):
        garbage = self.bed.folder / "garbage.onnx"
        garbage.write_bytes(b"This is no model.")
        self.run("publish", garbage, "--model", "churn", status=FAILURE)
        self.run("promote", "churn", "99", status=FAILURE)
        self.run("promote", "nothing", "1", status=FAILURE)
        self.run("promote", "churn", "one", status=NO_SENSE)
        self.run("delete-version", "churn", "2", status=FAILURE)

    def prune(self):
        for _ in range(3):
            self.run("publish", self.bed.samples.file("logistic"), "--model", "churn", "--allow-duplicate", "--no-check")
        planned = self.run("gc", "churn", "--keep", "1", "--dry-run")
        done = self.run("gc", "churn", "--keep", "1")
        self.expect(planned["deleted"] == done["deleted"] and done["deleted"], f"planned {planned}, done {done}")
        kept = [version["version"] for version in self.run("versions", "churn")["versions"]]
        self.expect(2 in kept and 6 in kept, f"kept are {kept}")
        self.run("delete-version", "churn", "6", "--dry-run")
        self.run("delete-version", "churn", "6")
        self.run("publish", self.bed.samples.file("logistic"), "--model", "old", "--alias", "champion", "--no-check")
        self.run("delete-model", "old", status=FAILURE)
        self.run("delete-model", "old", "--with-aliases")
        self.expect(self.engine.serves(2), f"after the cleaning it serves {self.engine.served()}")

    def repair(self):
        self.leave_half_an_upload()
        found = self.run("repair", "churn", "--min-age", "0")["found"]
        self.expect([damage["kind"] for damage in found] == ["no-manifest"], f"found {found}")
        self.run("repair", "churn", "--min-age", "0", "--fix")
        self.expect(not self.run("repair", "churn", "--min-age", "0")["found"], "it is found again after its repair")

    def leave_half_an_upload(self):
        data = self.bed.samples.file("forest").read_bytes()
        if self.bed.store:
            return self.bed.store.put(f"{self.bed.prefix}/churn/77/model.onnx", data)
        folder = Path(self.staging) / "churn" / "77"
        folder.mkdir()
        return (folder / "model.onnx").write_bytes(data)

    def upgrade(self):
        """Serves what a former release has left, and replaces an engine under load."""
        former = str(self.bed.folder / "former")
        self.run("publish", self.bed.samples.file("logistic"), "--model", "churn", "--alias", "champion", "--no-check", on=former)
        for name in ("lightgbm", "sklearn-pipeline", "torch-logits"):
            config = ROOT / f"tests/data/external/{name}.toml"
            options = ["--config", config] if config.exists() else []
            self.run("publish", ROOT / f"tests/data/external/{name}.onnx", "--model", name, "--no-check", *options, on=former)
        for path in Path(former).glob("*/*/manifest.json"):
            manifest = json.loads(path.read_text(encoding="utf-8"))
            path.write_text(json.dumps({key: manifest[key] for key in REQUIRED_KEYS}), encoding="utf-8")
        shutil.rmtree(Path(former) / "_audit")
        cache = self.bed.folder / "shared-cache"
        home = {"HOME": str(self.bed.folder)}
        old = self.bed.engine(location=former, cache=cache, environment=home)
        load = old.load()
        new = self.bed.engine(location=former, cache=cache, environment=home)
        expected = {"churn": 1, "lightgbm": 1, "sklearn-pipeline": 1, "torch-logits": 1}
        # Readiness does not wait for what is tested in a process of its own.
        self.expect(wait_until(lambda: new.served() == expected, 20), f"of a former repository it serves {new.served()}: {new.failed()}")
        load.stopping = True
        self.expect(old.stop() == 0, "the former engine does not end with 0")
        load.end()
        self.expect(not load.failures, f"while it was replaced requests failed: {load.failures[:3]}")
        for model in expected:
            self.answer(new, f"/models/{model}")
        self.run("publish", self.bed.samples.file("forest"), "--model", "churn", "--no-check", on=former)
        self.run("promote", "churn", "2", "--wait", f"http://127.0.0.1:{new.port}", on=former)
        self.run("versions", "churn", on=former)
        self.run("repair", "--min-age", "0", on=former)
