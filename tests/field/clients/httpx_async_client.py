"""Sends the plan's requests with httpx over HTTP/2: one client for all tasks, so all requests share a connection."""

import asyncio

import httpx
from plan import arguments, report_retries, send_all_in_tasks

_, url, plan, workers = arguments()


async def main():
    # Without HTTP/1.1 it speaks HTTP/2 at once, as it would after TLS has agreed on it.
    async with httpx.AsyncClient(http1=False, http2=True, trust_env=False, timeout=60) as client:

        async def send(method, path, body, headers):
            answer = await client.request(method, url + path, content=body, headers=headers)
            return answer.status_code

        await send_all_in_tasks(plan, workers, send, httpx.HTTPError)
    # The default transport has `retries=0`: it sends nothing again.
    report_retries(0)


asyncio.run(main())
