"""Sends the plan's requests with httpx: one client for all threads."""

import threading

import httpx
from plan import arguments, chunks, content, report, report_retries

_, url, plan, workers = arguments()
client = httpx.Client(trust_env=False, timeout=60)
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
            answer = client.request(method, url + path, content=chunks(body) if chunked else body, headers=headers)
            report(number, answer.status_code)
        except httpx.HTTPError as error:
            report(number, "-", error)


threads = [threading.Thread(target=work) for _ in range(workers)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
# The default transport has `retries=0`: it sends nothing again.
report_retries(0)
