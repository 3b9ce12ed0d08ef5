"""Promotions that would break clients, and files that hands have copied or changed."""

import json
import shutil
from pathlib import Path

from testbed.case import CONDITIONAL, FOLDER, case
from testbed.processes import wait_until


@case(stores=(FOLDER, *CONDITIONAL))
def a_promotion_to_a_model_of_other_rows_is_refused(bed):
    """A version of other rows is refused wherever it would be served, with the fields; clients are answered all the time."""
    bed.publish("logistic", "churn", "--alias", "champion")
    bed.publish("bank", "churn")
    engine = bed.engine()
    load = engine.load()
    for command in (["promote", "churn", "2"], ["promote", "churn", "2", "--dry-run"], ["pin", "churn", "2"],
                    ["alias", "set", "churn", "champion", "2"]):
        refused = bed.export(*command, status=None)
        bed.expect(refused.status == 1, refused)
        bed.expect_words(refused.text, ["field", "no longer accepted", "--other-schema"], " ".join(command))
    shown = bed.export("promote", "churn", "2", "--dry-run", "--other-schema", "--output", "json").json
    bed.expect(shown["compatibility"]["differences"], f"a dry run shows no difference: {shown}")
    engine.reload()
    load.end()
    bed.expect(engine.served() == {"churn": 1}, f"it serves {engine.served()}")
    bed.expect(not load.failures, f"requests failed: {load.failures[:3]}")
    bed.export("promote", "churn", "2", "--other-schema")
    bed.expect(engine.serves(2), f"what was allowed is not served: {engine.failed()}")
    return f"{load.answers} requests, none failed"


@case()
def a_version_copied_by_hand_is_told_with_the_command_that_publishes_it(bed):
    """A version without a manifest does not exist; commands and the engine name it, and the command that publishes it."""
    bed.publish("logistic", "churn", "--alias", "champion")
    by_hand = Path(bed.location) / "churn" / "2"
    by_hand.mkdir()
    shutil.copy(bed.samples.file("forest"), by_hand / "model.onnx")
    told = bed.export("promote", "churn", "2", status=None)
    bed.expect(told.status == 1, told)
    bed.expect_words(told.text, ["onnward-exporter publish"], "promote")
    for command in (["versions", "churn"], ["repair", "churn"]):
        bed.expect_words(bed.export(*command, status=None).text, ["manifest"], command[0])
    engine = bed.engine()
    bed.expect(engine.served() == {"churn": 1}, f"it serves {engine.served()}")


@case()
def manifests_that_editors_have_changed_are_read(bed):
    """A manifest with a byte order mark, or with its digest in upper case, is read."""
    bed.two_versions()
    for version, change in ((1, lambda text: "\ufeff" + text), (2, upper_case_digest)):
        path = Path(bed.location) / "churn" / str(version) / "manifest.json"
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    engine = bed.engine()
    bed.export("promote", "churn", "2")
    bed.expect(engine.serves(2), f"it serves {engine.served()}: {engine.failed()}")
    bed.export("pull", "churn", "1", "--out", bed.folder / "pulled")


def upper_case_digest(text):
    manifest = json.loads(text)
    manifest["sha256"] = manifest["sha256"].upper()
    return json.dumps(manifest)


@case(stores=(FOLDER, *CONDITIONAL))
def the_same_bytes_are_one_version(bed):
    """A second publish of the same bytes names the version that is there; `--allow-duplicate` publishes them again."""
    first = bed.publish("logistic", "churn", "--output", "json").json
    second = bed.publish("logistic", "churn", "--output", "json").json
    third = bed.publish("logistic", "churn", "--allow-duplicate", "--output", "json").json
    bed.expect([first["version"], second["version"], third["version"]] == [1, 1, 2], f"versions {first}, {second}, {third}")


@case(stores=(FOLDER, *CONDITIONAL))
def a_followed_alias_that_is_deleted_is_told(bed):
    """Where the highest version takes the place of a deleted alias, the engine's log says so."""
    bed.two_versions()
    engine = bed.engine()
    deleted = bed.export("alias", "delete", "churn", "champion")
    bed.expect("2" in deleted.text, f"the command does not say what engines serve next: {deleted.text}")
    bed.expect(engine.serves(2), f"it serves {engine.served()}")
    bed.expect(wait_until(lambda: engine.lines("warn"), 10), "the log has no warning")
