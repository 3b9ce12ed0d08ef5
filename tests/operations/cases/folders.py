"""Local repositories: file systems without hard links, full disks, links that are flipped."""

import errno
import os
import shutil
import subprocess
import time
from pathlib import Path

from testbed.case import case

# What `link` answers on SMB, s3fs, gcsfuse, exFAT and others.
WITHOUT_LINKS = {"EPERM": errno.EPERM, "ENOTSUP": errno.ENOTSUP, "ENOSYS": errno.ENOSYS, "EMLINK": errno.EMLINK}
LIBRARY = """
#include <errno.h>
#include <stdlib.h>
static int refuse(void) { errno = atoi(getenv("LINK_ERRNO")); return -1; }
int link(const char *from, const char *to) { (void)from; (void)to; return refuse(); }
int linkat(int a, const char *from, int b, const char *to, int flags) {
    (void)a; (void)from; (void)b; (void)to; (void)flags; return refuse();
}
"""


@case(needs=["linux", "compiler"])
def a_folder_without_hard_links_is_published_into_and_served(bed):
    """Where hard links are refused, publish, promote, roll back and gc work, and two writers at once still lose nothing."""
    source, library = bed.folder / "links.c", bed.folder / "links.so"
    source.write_text(LIBRARY, encoding="utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    for name, number in WITHOUT_LINKS.items():
        environment = {"LD_PRELOAD": str(library), "LINK_ERRNO": str(number)}
        location = str(bed.folder / name)
        steps = [["publish", bed.samples.file("logistic"), "--model", "churn", "--no-check", "--alias", "champion"],
                 ["publish", bed.samples.file("forest"), "--model", "churn", "--no-check"],
                 ["promote", "churn", "2"], ["rollback", "churn"], ["gc", "--keep", "2"]]
        for step in steps:
            done = bed.export(*step, location=location, environment=environment, status=None)
            bed.expect(done.status == 0, f"{name}: {done}")
        left = [str(path) for path in Path(location).rglob("*") if "#" in path.name or path.name.endswith(".tmp")]
        bed.expect(not left, f"{name}: left behind: {left}")
        engine = bed.engine(location=location, environment=environment, ready=False)
        bed.expect(engine.becomes_ready(20) and engine.served() == {"churn": 1}, f"{name}: it serves {engine.served()}")
        engine.stop()
    return ", ".join(WITHOUT_LINKS)


@case(needs=["mounts"])
def a_full_disk_refuses_a_publication_and_nothing_that_frees_it(bed):
    """On a full disk `publish` fails and leaves no version, the engine serves, and `rollback`, `delete-version` and `gc` work."""
    disk = bed.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "onnward-proof", str(disk)], check=True)
    bed.stack.callback(lambda: subprocess.run(["umount", "--lazy", str(disk)], check=False))
    location = str(disk / "repository")
    for number in range(1, 6):
        sample = "logistic" if number % 2 else "forest"
        bed.publish(sample, "churn", "--allow-duplicate", *(["--alias", "champion"] if number < 3 else []), location=location)
    engine = bed.engine(location=location)
    fill(disk)
    refused = bed.publish("retrained", location=location, status=None)
    bed.expect(refused.status == 1 and "space" in refused.text.lower(), f"a publication: {refused}")
    rolled = bed.export("rollback", "churn", location=location, status=None)
    bed.expect(rolled.status == 0, f"a rollback: {rolled}")
    engine.reload()
    bed.expect(engine.served() == {"churn": 1} and engine.is_ready(), f"after the rollback it serves {engine.served()}")
    fill(disk)
    deleted = bed.export("delete-version", "churn", "5", location=location, status=None)
    bed.expect(deleted.status == 0, f"delete-version: {deleted}")
    fill(disk)
    collected = bed.export("gc", "--keep", "1", location=location, status=None)
    bed.expect(collected.status == 0, f"gc: {collected}")
    (disk / "ballast").unlink()
    versions = bed.export("versions", "churn", "--output", "json", location=location).json["versions"]
    bed.expect(1 in [version["version"] for version in versions], f"the served version is gone: {versions}")
    published = bed.publish("retrained", location=location, status=None)
    bed.expect(published.status == 0, f"once there is space: {published}")


def fill(disk):
    """Writes until nothing more fits, to the last byte."""
    with open(disk / "ballast", "ab", buffering=0) as ballast:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    ballast.write(b"x" * size)
            except OSError:
                continue


@case()
def a_repository_whose_link_is_flipped_is_followed_under_load(bed):
    """A repository that is a symbolic link is followed where it is flipped to, twenty times, and no request fails."""
    real = {}
    for name, version in (("blue", 1), ("green", 2)):
        real[name] = bed.folder / name
        for sample in ("logistic", "forest"):
            bed.publish(sample, location=str(real[name]))
        bed.export("promote", "churn", str(version), location=str(real[name]))
    link = Path(bed.location)
    link.symlink_to(real["blue"])
    engine = bed.engine()
    load = engine.load()
    for flip in range(20):
        name, version = (("green", 2), ("blue", 1))[flip % 2]
        new = link.with_suffix(".new")
        new.symlink_to(real[name])
        os.replace(new, link)
        bed.require(engine.reload()[0] == 200, f"flip {flip}: a reload answers {engine.reload()}")
        bed.require(engine.serves(version), f"flip {flip}: it serves {engine.served()}: {engine.failed()}")
    load.end()
    bed.expect(not load.failures, f"requests failed: {load.failures[:3]}")
    return f"20 flips, {load.answers} requests, none failed"


@case()
def a_repository_that_goes_away_and_comes_back_stops_nothing(bed):
    """A repository that is moved away, is empty for a while and comes back is told, and what is served stays all the time."""
    bed.two_versions()
    engine = bed.engine()
    load = engine.load()
    repository = Path(bed.location)
    away = repository.with_suffix(".away")
    repository.rename(away)
    bed.expect(engine.reload()[0] == 503, f"without the folder a reload answers {engine.reload()}")
    bed.expect(not engine.status()["repository"]["reachable"], "without the folder it is reachable")
    repository.mkdir()
    time.sleep(1)
    bed.expect(engine.served() == {"churn": 1}, f"with an empty folder it serves {engine.served()}")
    shutil.rmtree(repository)
    away.rename(repository)
    bed.expect(engine.reload()[0] == 200 and engine.status()["repository"].get("error") is None, "it does not recover")
    load.end()
    bed.expect(not load.failures, f"requests failed: {load.failures[:3]}")
    return f"{load.answers} requests, none failed"
