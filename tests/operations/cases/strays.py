"""What a repository holds beside models: stray keys, names that cannot be, links in a circle, folders that cannot be read."""

import collections
import json
import os
import socket
from pathlib import Path

from testbed.case import CONDITIONAL, FOLDER, S3, case
from testbed.files import Files

# What scripts, hands and other programs leave. None of it can be a model.
STRAY_KEYS = ["/x", "./x", "churn//x", "churn/./x", "churn/../x", "churn/1/", "control-\x01\x1f/x", "tab\there/1/model.onnx", "100%/x",
              "Übung/1/model.onnx", "churn/aliases//x", "_audit//x"]


@case(stores=S3)
def a_stray_key_stops_no_promotion_and_no_start(bed):
    """Keys that cannot be a model's are passed over, and told once: promotions, rollbacks, gc and new engines go on beside them."""
    bed.two_versions()
    proxy = bed.proxy()
    engine = bed.engine()
    shown = plant(bed, proxy)
    goes_on(bed, engine)
    lines = collections.Counter(told(line) for line in engine.lines("warn", "error"))
    bed.expect(any("//x" in line for line in lines), f"no line of the log tells of a stray key: {list(lines)}")
    bed.expect(set(lines.values()) <= {1}, f"told several times: {lines.most_common(3)}")
    return f"{shown} of {len(STRAY_KEYS)} keys in the store itself, the others in its listings; {len(lines)} lines of warning"


def told(line):
    """Returns what a line of the log says, without its time."""
    return json.dumps({name: value for name, value in line.items() if name != "@timestamp"}, ensure_ascii=False, sort_keys=True)


def plant(bed, proxy):
    """Puts the stray keys into the store. Those that it refuses or renames are added to its listings by the proxy."""
    shown = 0
    for key in (f"{bed.prefix}/{stray}" for stray in STRAY_KEYS):
        try:
            bed.store.put(key, b"" if key.endswith("/") else b"x")
            found = key in bed.store.keys(bed.prefix)
        except Exception:
            found = False
        shown += found
        if not found:
            proxy.extra_keys.append(key)
    return shown


def goes_on(bed, engine):
    """Promotes, rolls back, publishes, collects and starts, as if nothing were there."""
    bed.export("promote", "churn", "2")
    bed.expect(engine.serves(2), f"a promotion is not followed: {engine.status()['repository']} {engine.failed()}")
    bed.export("rollback", "churn")
    bed.expect(engine.serves(1), f"a rollback is not followed: {engine.status()['repository']} {engine.failed()}")
    bed.publish("retrained")
    bed.export("gc", "--keep", "3")
    bed.export("versions", "churn")
    bed.export("models")
    bed.expect(engine.reload()[0] == 200, f"a reload answers {engine.reload()}")
    bed.expect(not engine.failed(), f"it is taken for a model's failure: {engine.failed()}")
    new = bed.engine(ready=False)
    bed.expect(new.becomes_ready(30), f"a new engine does not become ready: {new.get('/health/ready')[1]} {new.failed()}")
    bed.expect(new.serves(1), f"a new engine serves {new.served()}")
    return new


@case(needs=["linux", "root", "setpriv"])
def a_stray_name_in_a_folder_stops_no_promotion_and_no_start(bed):
    """Names with control characters or invalid UTF-8, links in a circle, pipes, sockets and unreadable folders are passed over."""
    # To root every folder is readable, so all programs run as somebody else.
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", f"HOME={bed.folder}"]
    bed.two_versions()
    repository = Path(bed.location)
    for path in [bed.folder, *bed.folder.rglob("*")]:
        os.chown(path, 65534, 65534)
    for name in [b"invalid-\xff\xfe", b"control-\x01\x1f", b"new\nline", b"...", b" ", b"Upper Case", "Übung".encode()]:
        (folder := os.path.join(os.fsencode(repository), name)) and os.makedirs(os.path.join(folder, b"1"))
        Path(os.fsdecode(os.path.join(folder, b"1", b"model.onnx"))).write_bytes(b"x")
    (repository / "circle").symlink_to(repository / "circle")
    (repository / "a").symlink_to(repository / "b")
    (repository / "b").symlink_to(repository / "a")
    (repository / "self").symlink_to(repository)
    os.mkfifo(repository / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(repository)
        listener.bind("socket")
        os.chdir(Path(__file__).parents[3])
    (repository / "lost+found").mkdir(mode=0o700)
    unreadable = repository / "churn" / "9"
    unreadable.mkdir(mode=0o700)
    bed.stack.callback(unreadable.chmod, 0o755)
    # The log and the configuration are written before the program is somebody else.
    engine = bed.engine(wrapper=nobody, cache=bed.folder / "cache", lines=['models.names = ["churn"]'])
    for command in (["promote", "churn", "2"], ["rollback", "churn"]):
        bed.export(*command, wrapper=nobody)
    bed.expect(engine.serves(1), f"after promotion and rollback it serves {engine.served()}: {engine.status()['repository']}")
    bed.export("promote", "churn", "2", wrapper=nobody)
    bed.expect(engine.serves(2), f"a promotion is not followed: {engine.status()['repository']} {engine.failed()}")
    bed.expect(engine.reload()[0] == 200, f"a reload answers {engine.reload()}")
    new = bed.engine(wrapper=nobody, cache=bed.folder / "cache", ready=False)
    bed.expect(new.becomes_ready(30), f"a new engine does not become ready: {new.get('/health/ready')[1]} {new.failed()}")
    bed.expect(new.served() == {"churn": 2}, f"a new engine serves {new.served()}")
    lines = collections.Counter(told(line) for line in new.lines("warn", "error"))
    bed.expect(set(lines.values()) <= {1}, f"told several times: {lines.most_common(3)}")
    return f"{len(lines)} lines of warning"


@case(stores=(FOLDER, *CONDITIONAL))
def a_version_of_the_highest_number_stops_no_publication(bed):
    """A folder whose name is the highest number that there is, which a hand has made, does not keep the next version from its number."""
    bed.publish("logistic", "churn", "--alias", "champion")
    Files(bed).write(f"churn/{2**64 - 1}/model.onnx", b"x")
    published = bed.publish("forest", "churn", "--output", "json", status=None)
    if bed.expect(published.status == 0, published):
        bed.expect(published.json["version"] == 2, f"the next version is {published.json['version']}")
    engine = bed.engine()
    bed.expect(engine.served() == {"churn": 1}, f"it serves {engine.served()}: {engine.failed()}")


@case()
def an_empty_pointer_that_a_kill_has_left_is_passed_or_repaired(bed):
    """A pointer's file that a killed command left empty stops nothing that is served, and `promote` or `repair` goes on from it."""
    bed.two_versions()
    engine = bed.engine()
    for pointer in ("aliases/champion/00000000000000000002.json", "pin/00000000000000000001.json"):
        Files(bed).write(f"churn/{pointer}", b"")
        engine.reload()
        bed.expect(engine.served() == {"churn": 1} and engine.is_ready(), f"{pointer}: it serves {engine.served()}: {engine.failed()}")
        promoted = bed.export("promote", "churn", "2", status=None)
        if promoted.status != 0:
            bed.expect_words(promoted.text, ["onnward-exporter repair"], f"{pointer}: promote")
            bed.export("repair", "churn", "--fix", "--min-age", "0", status=None)
            promoted = bed.export("promote", "churn", "2", status=None)
        bed.expect(promoted.status == 0, f"{pointer}: after a repair: {promoted}")
        bed.expect(engine.serves(2, seconds=10), f"{pointer}: a promotion is not followed: {engine.served()} {engine.failed()}")
        bed.expect(bed.export("rollback", "churn", status=None).status == 0, f"{pointer}: a rollback fails")
        bed.expect(engine.serves(1, seconds=10), f"{pointer}: a rollback is not followed: {engine.served()} {engine.failed()}")


@case(needs=["linux", "root", "setpriv"])
def gc_goes_on_beside_a_model_whose_aliases_cannot_be_read(bed):
    """Of a model whose pointers cannot be read nothing is deleted, which is told; the other models are cleaned."""
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", f"HOME={bed.folder}"]
    for model in ("churn", "other"):
        for _ in range(3):
            bed.publish("logistic", model, "--allow-duplicate", "--alias", "champion")
    for path in [bed.folder, *bed.folder.rglob("*")]:
        os.chown(path, 65534, 65534)
    aliases = Path(bed.location) / "churn/aliases/champion"
    aliases.chmod(0)
    bed.stack.callback(aliases.chmod, 0o755)
    collected = bed.export("gc", "--keep", "1", "--output", "json", wrapper=nobody, status=None)
    bed.expect("churn" in collected.text, f"it does not tell of churn: {collected}")
    left = {model: sorted(path.parent.name for path in Path(bed.location).glob(f"{model}/*/manifest.json")) for model in ("churn", "other")}
    bed.expect(left["churn"] == ["1", "2", "3"], f"of churn there is {left['churn']}: {collected}")
    bed.expect(left["other"] == ["2", "3"], f"of the other model there is {left['other']}: {collected}")
