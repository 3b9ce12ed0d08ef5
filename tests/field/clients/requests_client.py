"""Sends the plan's requests with requests: one session for all threads. Its pool keeps a connection for each."""

import requests
from plan import arguments, report_retries, send_all
from requests.adapters import HTTPAdapter

_, url, plan, workers = arguments()
session = requests.Session()
session.trust_env = False
adapter = HTTPAdapter(pool_maxsize=workers)
session.mount("http://", adapter)


def send(method, path, body, headers):
    return session.request(method, url + path, data=body, headers=headers, timeout=60).status_code


send_all(plan, workers, send, requests.RequestException)
# `max_retries` is 0 by default: it sends nothing again.
report_retries(adapter.max_retries.total)
