"""Processes that are always stopped: each is remembered until it has ended."""

import signal
import socket
import subprocess
import sys
import time


class Processes:
    """The processes of a proof. `stop_all` ends them, the latest first."""

    def __init__(self):
        self.running = []

    def start(self, command, log, **options):
        """Starts a program with its output in a file. A terminal's Ctrl-C does not reach it: it is stopped here."""
        with open(log, "ab") as output:
            options = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output, "start_new_session": True, **options}
            process = subprocess.Popen([str(word) for word in command], **options)
        self.running.append(process)
        return process

    def stop(self, process, how=signal.SIGTERM, seconds=40):
        """Sends a signal, waits, and returns the exit status. What does not end is killed."""
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.forget(process)
        return process.returncode

    def forget(self, process):
        if process in self.running:
            self.running.remove(process)

    def stop_all(self):
        for process in reversed(list(self.running)):
            self.stop(process, seconds=10)


def end_on_signals():
    """Turns the signals that end a program into an exception, so that what was started is stopped."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def free_ports(count):
    """Returns ports that are free at this moment, all different."""
    listeners = [socket.socket() for _ in range(count)]
    try:
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


def wait_until(holds, seconds=30, every=0.05):
    """Waits until something holds, and returns what it returned, or None after this time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = holds()
        except OSError:
            value = None
        if value:
            return value
        if time.monotonic() > deadline:
            return None
        time.sleep(every)
