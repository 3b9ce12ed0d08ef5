"""Clients that predict all the time over connections that they keep, and count what comes."""

import collections
import http.client
import threading
import time


class Load:
    """Background load on one engine. Every answer but 200 is a failure, and so is a connection that ends under a request."""

    def __init__(self, port, path, row, clients=4, pause=0.002):
        self.port, self.path, self.row, self.pause = port, path, row, pause
        self.answers, self.versions, self.failures = 0, collections.Counter(), []
        self.ending, self.lock = threading.Event(), threading.Lock()
        # An engine that is told to stop may refuse connections from then on.
        self.stopping = False
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self):
        connection = None
        while not self.ending.is_set():
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                connection.request("POST", self.path, self.row, {"content-type": "application/json"})
                answer = connection.getresponse()
                body = answer.read()
                self.count(answer.status, body)
                if answer.will_close:
                    connection.close()
                    connection = None
            except ConnectionRefusedError:
                # The engine has closed its listener: nothing was sent that could be lost.
                if self.stopping:
                    return
                self.fail("the connection was refused")
                connection = None
            except (OSError, http.client.HTTPException) as error:
                self.fail(f"{type(error).__name__}: {error}")
                connection.close()
                connection = None
            time.sleep(self.pause)

    def count(self, status, body):
        with self.lock:
            self.answers += 1
            if status == 200:
                version = body.partition(b'"version":')[2].partition(b",")[0].decode()
                self.versions[version] += 1
            else:
                self.failures.append(f"{status}: {body[:200].decode(errors='replace')}")

    def fail(self, why):
        with self.lock:
            self.failures.append(why)

    def end(self):
        """Ends the load, and returns how many requests were answered."""
        self.ending.set()
        for thread in self.threads:
            thread.join(35)
        return self.answers
