"""Sends the plan's requests with httpx over HTTP/2: one client for all tasks, so all requests share a connection."""

import asyncio

import httpx
from plan import arguments, chunks, content, report, report_retries

_, url, plan, workers = arguments()


async def in_chunks(body):
    for chunk in chunks(body):
        yield chunk


async def work(client):
    for number, method, path, chunked, body, headers in plan:
        body = content(body)
        try:
            answer = await client.request(method, url + path, content=in_chunks(body) if chunked else body, headers=headers)
            report(number, answer.status_code)
        except httpx.HTTPError as error:
            report(number, "-", error)


async def main():
    # Without HTTP/1.1 it speaks HTTP/2 at once, as it would after TLS has agreed on it.
    async with httpx.AsyncClient(http1=False, http2=True, trust_env=False, timeout=60) as client:
        await asyncio.gather(*(work(client) for _ in range(workers)))
    # The default transport has `retries=0`: it sends nothing again.
    report_retries(0)


asyncio.run(main())
