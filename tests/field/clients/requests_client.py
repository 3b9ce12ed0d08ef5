"""Sends the plan's requests with requests: one session for all threads. Its pool keeps a connection for each."""

import threading

import requests
from plan import arguments, chunks, content, report, report_retries
from requests.adapters import HTTPAdapter

_, url, plan, workers = arguments()
session = requests.Session()
session.trust_env = False
adapter = HTTPAdapter(pool_maxsize=workers)
session.mount("http://", adapter)
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
            answer = session.request(method, url + path, data=chunks(body) if chunked else body, headers=headers, timeout=60)
            report(number, answer.status_code)
        except requests.RequestException as error:
            report(number, "-", error)


threads = [threading.Thread(target=work) for _ in range(workers)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
# `max_retries` is 0 by default: it sends nothing again.
report_retries(adapter.max_retries.total)
