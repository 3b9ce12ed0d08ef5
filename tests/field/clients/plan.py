"""What the Python clients share: the plan's requests, and the lines that they print."""

import asyncio
import functools
import pathlib
import sys
import threading


def arguments():
    """The options, the URL, the plan's requests and the number of workers."""
    options = [word for word in sys.argv[1:] if word.startswith("--")]
    url, plan, workers = [word for word in sys.argv[1:] if not word.startswith("--")]
    return options, url, requests_of(plan), int(workers)


@functools.cache
def content(path):
    return pathlib.Path(path).read_bytes()


def requests_of(plan):
    """The requests in order: number, method, path, whether it is sent in chunks, file of the body, headers."""
    for line in pathlib.Path(plan).read_text(encoding="utf-8").splitlines():
        number, method, path, framing, body, *headers = line.split("\t")
        yield number, method, path, framing == "chunked", body, dict(header.split(": ", 1) for header in headers)


def chunks(body, size=16 * 1024):
    for start in range(0, len(body), size):
        yield body[start : start + size]


def send_all(plan, workers, send, errors):
    """Takes the plan's requests in turn on several threads, and reports what `send` returns or raises of `errors`."""
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                request = next(plan, None)
            if request is None:
                return
            number, method, path, chunked, body, headers = request
            body = content(body)
            try:
                report(number, send(method, path, chunks(body) if chunked else body, headers))
            except errors as error:
                report(number, "-", error)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def send_all_in_tasks(plan, workers, send, errors):
    """Takes the plan's requests in turn in several tasks, and reports what `send` returns or raises of `errors`."""

    async def in_chunks(body):
        for chunk in chunks(body):
            yield chunk

    async def work():
        for number, method, path, chunked, body, headers in plan:
            body = content(body)
            try:
                report(number, await send(method, path, in_chunks(body) if chunked else body, headers))
            except errors as error:
                report(number, "-", error)

    await asyncio.gather(*(work() for _ in range(workers)))


def report(number, status, error=None):
    """Prints what was seen of a request, in one piece, since several workers print."""
    text = "" if error is None else " ".join(repr(error).split())[:300]
    sys.stdout.write(f"{number}\t{status}\t{text}\n")


def report_retries(count):
    sys.stdout.write(f"retries\t{count}\n")
