"""Sends the plan's requests with aiohttp: one session for all tasks."""

import asyncio

import aiohttp
from plan import arguments, chunks, content, report, report_retries

_, url, plan, workers = arguments()
# aiohttp sends idempotent requests again, such as PUT, if a kept connection was closed. Each attempt takes a connection.
attempts = sent = 0


async def in_chunks(body):
    for chunk in chunks(body):
        yield chunk


async def count_attempt(*_):
    global attempts
    attempts += 1


async def work(session):
    global sent
    for number, method, path, chunked, body, headers in plan:
        body = content(body)
        sent += 1
        try:
            async with session.request(method, url + path, data=in_chunks(body) if chunked else body, headers=headers) as answer:
                await answer.read()
                report(number, answer.status)
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            report(number, "-", error)


async def main():
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(count_attempt)
    trace.on_connection_reuseconn.append(count_attempt)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(trace_configs=[trace], timeout=timeout) as session:
        await asyncio.gather(*(work(session) for _ in range(workers)))
    report_retries(attempts - sent)


asyncio.run(main())
