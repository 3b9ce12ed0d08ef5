"""Repositories that grow: many models, thousands of audit files."""

import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import time
from pathlib import Path

from testbed.case import FOLDER, MOTO, SEAWEEDFS, case, pids_folder
from testbed.processes import wait_until

# As many processes and threads as a container often may have.
PIDS = 256
LOOKS = 5


@case(needs=["linux", "pids limit"])
def many_models_are_served_under_a_limit_of_processes(bed):
    """500 models are all served where 256 threads are allowed, and the engine is never ready while one has failed for want of them."""
    copies(bed)
    # Entered before the engine starts, so that it is left once the engine has ended.
    options = bed.stack.enter_context(pids_limit(bed))
    begun = time.monotonic()
    engine = bed.engine(**options, look_ms=2000, ready=False)
    early = []

    def served():
        ready, failed, count = engine.is_ready(), engine.failed(), len(engine.served())
        if ready and failed:
            early.append(f"{count} served, {len(failed)} failed: {failed[0]}")
        return count == bed.settings.models

    everything = wait_until(served, 300, 1.0)
    seconds = time.monotonic() - begun
    failed = engine.failed()
    bed.expect(everything, f"after {seconds:.0f} s {len(engine.served())} are served, {len(failed)} failed: {failed[:1]}")
    bed.expect(not early, f"it was ready with failed models: {early[:1]}")
    threads = engine.threads()
    metrics = len(engine.get("/metrics")[1])
    bed.expect(engine.predict(f"model-{bed.settings.models - 1}")[0] == 200, "the last model does not answer")
    engine.stop()
    return f"after {seconds:.0f} s, {threads} threads, {metrics / 1e6:.1f} MB of metrics"


@case(needs=["linux"])
def threads_and_metrics_do_not_grow_with_the_models(bed):
    """Threads are bounded for all models together, and metrics stay below 5 MB for 500 models."""
    copies(bed)
    engine = bed.engine(look_ms=2000, ready=False)
    bed.expect(wait_until(lambda: len(engine.served()) == bed.settings.models, 300, 1.0), f"{len(engine.served())} are served")
    threads, metrics = engine.threads(), len(engine.get("/metrics")[1])
    bed.expect(threads <= PIDS, f"{threads} threads for {bed.settings.models} models")
    bed.expect(metrics <= 5_000_000, f"{metrics} bytes of metrics")
    return f"{threads} threads, {metrics / 1e6:.1f} MB of metrics"


@case()
def an_engine_serves_the_models_of_a_repository_that_it_is_told(bed):
    """With `models.names = ["model-1*"]` the other models of a repository are neither loaded nor told as failed."""
    copies(bed, 25)
    engine = bed.engine(lines=['models.names = ["model-1*"]'])
    expected = {f"model-{number}" for number in range(25) if str(number).startswith("1")}
    bed.expect(wait_until(lambda: set(engine.served()) == expected, 20), f"it serves {sorted(engine.served())}")
    bed.expect(not engine.failed(), f"failed: {engine.failed()}")


def copies(bed, count=None):
    """Makes a repository of many models from one that was published."""
    bed.publish("logistic", "model-0")
    first = Path(bed.location) / "model-0"
    for number in range(1, count or bed.settings.models):
        shutil.copytree(first, first.with_name(f"model-{number}"))


@contextlib.contextmanager
def pids_limit(bed):
    """Limits the processes of an engine, and gives the options with which it starts: a control group's, or the user's limit."""
    folder = pids_folder()
    if folder is None:
        yield {"wrapper": limited_user(bed)}
        return
    group = folder / f"onnward-proof-{bed.folder.name}"
    group.mkdir(exist_ok=True)
    (group / "pids.max").write_text(str(PIDS), encoding="utf-8")

    def join():
        with open(group / "cgroup.procs", "w", encoding="utf-8") as members:
            members.write("0")

    try:
        yield {"before": join}
    finally:
        # Processes leave the group a moment after they have ended.
        wait_until(lambda: not (group / "cgroup.procs").read_text().strip(), 20)
        wait_until(lambda: group.rmdir() is None, 10)


def limited_user(bed):
    """Returns a command that limits a user: to root no limit applies, and others have processes already."""
    if os.geteuid() == 0:
        for path in [bed.folder, *bed.folder.rglob("*")]:
            os.chown(path, 65534, 65534)
        return ["prlimit", f"--nproc={PIDS}", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", f"HOME={bed.folder}"]
    return ["prlimit", f"--nproc={PIDS + own_threads()}"]


def own_threads():
    count = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if int(re.search(r"^Uid:\s+(\d+)", text, re.MULTILINE).group(1)) == os.geteuid():
            count += int(re.search(r"^Threads:\s+(\d+)", text, re.MULTILINE).group(1))
    return count


@case(stores=(FOLDER, SEAWEEDFS, MOTO))
def a_look_costs_the_same_after_ten_thousand_audit_files(bed):
    """However many commands were ever run, a look costs what it costs in a new repository, or one listing more."""
    bed.two_versions()
    if bed.store is None:
        return in_a_folder(bed)
    proxy = bed.proxy()
    engine = bed.engine()
    before = listings_of_a_look(proxy, engine)
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for _ in pool.map(lambda entry: bed.store.put(f"{bed.prefix}/{entry[0]}", entry[1]), audit_files(bed.settings.audit_files)):
            pass
    seconds = time.monotonic() - begun
    after = listings_of_a_look(proxy, engine)
    # A look may read one page of a folder before it knows that the rest is of no use.
    bed.expect(after <= before + 1, f"a look asked for {before} listings, and for {after} with {bed.settings.audit_files} audit files")
    bed.export("promote", "churn", "2")
    bed.expect(engine.serves(2), f"it does not follow: {engine.failed()}")
    return f"{before} listings a look before, {after} after; filled in {seconds:.0f} s"


def in_a_folder(bed):
    engine = bed.engine()
    before = seconds_of_a_reload(engine)
    for name, data in audit_files(bed.settings.audit_files):
        (Path(bed.location) / name).write_bytes(data)
    after = seconds_of_a_reload(engine)
    # In that time ten thousand names can be read, but not ten thousand files.
    bed.expect(after < before + 0.05, f"a reload took {before:.2f} s, and {after:.2f} s with the audit files")
    bed.export("promote", "churn", "2")
    bed.expect(engine.serves(2), f"it does not follow: {engine.failed()}")
    return f"a reload: {before:.3f} s before, {after:.3f} s after"


def seconds_of_a_reload(engine):
    times = []
    for _ in range(LOOKS):
        begun = time.monotonic()
        engine.reload()
        times.append(time.monotonic() - begun)
    return min(times)


def listings_of_a_look(proxy, engine):
    """Returns the listings that one reload asks for: the fewest of several, as the engine looks by itself, too."""
    counts = []
    for _ in range(LOOKS):
        begun = len(proxy.listings())
        engine.reload()
        counts.append(len(proxy.listings()) - begun)
    return min(counts)


def audit_files(count):
    """Returns names and contents of audit files, two for each command."""
    for number in range(count // 2):
        moment = f"202601{1 + number // 86400:02}T{number // 3600 % 24:02}{number // 60 % 60:02}{number % 60:02}000Z-{number:016x}"
        begun = {"time": "2026-01-01T00:00:00.000Z", "who": "ci", "from": "proof", "command": "promote", "model": "churn",
                 "what": "alias champion to version 1"}
        ended = {"time": "2026-01-01T00:00:01.000Z", "outcome": "done", "result": "moved"}
        yield f"_audit/{moment}-1-begun.json", json.dumps(begun).encode()
        yield f"_audit/{moment}-2-ended.json", json.dumps(ended).encode()
