"""Signals and kills, under load."""

import random
import signal
import subprocess
import time

from testbed.case import FOLDER, SEAWEEDFS, case
from testbed.processes import wait_until

HARMLESS = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]
SENT, KILLS = 60, 20


@case(needs=["linux"])
def signals_of_other_programs_do_no_harm_under_load(bed):
    """HUP, USR1 and USR2, sixty times under load, end nothing and cost no request. HUP says what it did."""
    bed.two_versions()
    engine = bed.engine()
    load = engine.load()
    for number in range(SENT):
        engine.send_signal(HARMLESS[number % len(HARMLESS)])
        time.sleep(0.05)
    bed.expect(engine.is_alive() and engine.is_ready(), f"it has ended with {engine.process.poll()}")
    load.end()
    bed.expect(not load.failures, f"requests failed: {load.failures[:3]}")
    bed.expect(engine.said("SIGHUP") or engine.said("configuration"), "the log says nothing of SIGHUP")
    bed.expect(engine.stop() == 0, f"afterwards TERM ends it with {engine.process.returncode}")
    return f"{SENT} signals, {load.answers} requests, none failed"


@case()
def a_hangup_follows_a_promotion_at_once(bed):
    """SIGHUP polls the repository: a promotion is followed without the wait for a look."""
    bed.two_versions()
    engine = bed.engine(look_ms=3_600_000)
    bed.export("promote", "churn", "2")
    engine.send_signal(signal.SIGHUP)
    bed.expect(engine.serves(2, seconds=10), f"it serves {engine.served()}")


@case()
def a_hangup_applies_a_changed_configuration_or_says_what_needs_a_restart(bed):
    """After SIGHUP each changed key is applied, or the log names it; an invalid file changes nothing, and is told."""
    bed.two_versions()
    engine = bed.engine()
    written = engine.config.read_text(encoding="utf-8")
    engine.config.write_text(written + 'log.level = "debug"\nlimits.max_headers = 32\n', encoding="utf-8")
    engine.send_signal(signal.SIGHUP)
    for key in ("log.level", "limits.max_headers"):
        bed.expect(wait_until(lambda key=key: engine.said(key), 10), f"the log does not name {key}: {engine.said('configuration')}")
    engine.config.write_text(written + "limits.max_headers = 1\n", encoding="utf-8")
    engine.send_signal(signal.SIGHUP)
    bed.expect(wait_until(lambda: [line for line in engine.lines("warn", "error") if "max_headers" in str(line)], 10),
               f"an invalid configuration is not told: {engine.lines('warn', 'error')}")
    bed.expect(engine.is_alive() and engine.predict()[0] == 200, "it does not answer any more")


@case()
def an_engine_that_is_told_to_end_loses_no_request(bed):
    """TERM and INT under load: every request that was taken is answered, and the exit status is 0."""
    bed.two_versions()
    answers = 0
    for number in (signal.SIGTERM, signal.SIGINT):
        engine = bed.engine()
        load = engine.load()
        time.sleep(1)
        load.stopping = True
        status = engine.stop(number)
        load.end()
        bed.expect(status == 0, f"{number.name}: it ends with {status}")
        bed.expect(not load.failures, f"{number.name}: requests failed: {load.failures[:3]}")
        answers += load.answers
    return f"{answers} requests, none failed"


@case(stores=(FOLDER, SEAWEEDFS))
def engines_that_are_killed_during_promotions_start_again(bed):
    """An engine that is killed while versions are promoted starts, is ready, and serves what the alias names."""
    bed.two_versions()
    choice, cache = random.Random(21), bed.folder / "cache"
    for number in range(KILLS):
        engine = bed.engine(cache=cache)
        bed.export("promote", "churn", 1 + number % 2)
        time.sleep(choice.random() * 0.3)
        engine.stop(signal.SIGKILL)
    engine = bed.engine(cache=cache)
    bed.expect(engine.serves(1 + (KILLS - 1) % 2), f"it serves {engine.served()}: {engine.failed()}")
    return f"{KILLS} kills"


@case(stores=(FOLDER, SEAWEEDFS))
def an_exporter_that_is_killed_leaves_a_repository_that_works(bed):
    """Publications and moves that are killed in the middle leave whole versions; `repair` finds the rest, and publishing goes on."""
    bed.two_versions()
    choice = random.Random(22)
    command = [bed.programs.exporter, "publish", str(bed.samples.file("retrained")), "--model", "churn", "--no-check", "--allow-duplicate",
               "--alias", "champion", "--repository", bed.location]
    for _ in range(KILLS):
        process = subprocess.Popen(command, env={**bed.programs.environment, **bed.store_environment()}, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            time.sleep(choice.random() * (0.12 if bed.store is None else 0.3))
        finally:
            process.kill()
            process.wait()
    versions = bed.export("versions", "churn", "--output", "json").json["versions"]
    for version in versions:
        bed.export("pull", "churn", version["version"], "--out", bed.folder / f"pulled-{version['version']}")
    found = bed.export("repair", "--output", "json", status=None)
    bed.expect(found.status in (0, 1), found)
    fixed = bed.export("repair", "--fix", "--min-age", "0", status=None)
    bed.expect(fixed.status == 0, fixed)
    left = bed.export("repair", "--min-age", "0", "--output", "json", status=None).json["found"]
    bed.expect(not left, f"after the repair there is {left}")
    bed.publish("retrained", "churn", "--allow-duplicate", "--alias", "champion")
    bed.expect(bed.engine().served().get("churn"), "an engine serves nothing")
    return f"{KILLS} kills, {len(versions)} whole versions"
