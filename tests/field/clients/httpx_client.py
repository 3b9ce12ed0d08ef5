"""Sends the plan's requests with httpx: one client for all threads."""

import httpx
from plan import arguments, report_retries, send_all

_, url, plan, workers = arguments()
client = httpx.Client(trust_env=False, timeout=60)


def send(method, path, body, headers):
    return client.request(method, url + path, content=body, headers=headers).status_code


send_all(plan, workers, send, httpx.HTTPError)
# The default transport has `retries=0`: it sends nothing again.
report_retries(0)
