"""The list of cases: functions whose names say what is promised, with the stores and the means that each needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER, SEAWEEDFS, MOTO, S3RVER = "folder", "SeaweedFS", "moto", "s3rver"
S3 = (SEAWEEDFS, MOTO, S3RVER)
# The stores that honour the conditions of writes; nothing is published into the other.
CONDITIONAL = (SEAWEEDFS, MOTO)


class Broken(Exception):
    """A promise that did not hold, in one sentence."""


class LeftOut(Exception):
    """What this machine cannot do, in one sentence."""


class Case:
    def __init__(self, function, stores, needs):
        self.function, self.stores, self.needs = function, stores, needs
        self.name = function.__name__
        self.promise = function.__doc__.strip().splitlines()[0]
        self.module = function.__module__.rpartition(".")[2]

    def missing(self):
        """Returns why the case cannot run here, or None."""
        return next((why for why in (NEEDS[need]() for need in self.needs) if why), None)


CASES = []


def case(stores=(FOLDER,), needs=()):
    """Registers a function as a case. Its document string says the promise."""

    def register(function):
        CASES.append(Case(function, stores, needs))
        return function

    return register


def program(name, package):
    return lambda: None if shutil.which(name) else f"there is no {name} (Debian: {package})"


def root():
    return None if os.geteuid() == 0 else "it needs root"


def linux():
    return None if sys.platform == "linux" else "it needs Linux"


def compiler():
    return None if shutil.which("cc") else "there is no C compiler (Debian: gcc libc6-dev)"


def mounts():
    """Says why nothing can be mounted. Containers have a root that may not."""
    why = linux() or root() or program("unshare", "util-linux")() or program("mount", "mount")()
    if why:
        return why
    tried = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    return None if tried.returncode == 0 else "file systems cannot be mounted here"


def pids_limit():
    """Says why the number of threads cannot be limited: neither by a control group, nor for a user."""
    if pids_folder():
        return None
    return program("prlimit", "util-linux")() or (program("setpriv", "util-linux")() if os.geteuid() == 0 else None)


def pids_folder():
    """Returns the folder in which control groups with a limit of processes can be made: version 1 or 2."""
    first, second = Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")
    if (first / "cgroup.procs").exists() and os.access(first, os.W_OK):
        return first
    controllers = second / "cgroup.subtree_control"
    if controllers.exists() and "pids" in controllers.read_text().split() and os.access(second, os.W_OK):
        return second
    return None


NEEDS = {"root": root, "linux": linux, "compiler": compiler, "mounts": mounts, "pids limit": pids_limit,
         "openssl": program("openssl", "openssl"), "setpriv": program("setpriv", "util-linux")}
