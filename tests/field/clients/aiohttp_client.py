"""Sends the plan's requests with aiohttp: one session for all tasks."""

import asyncio

import aiohttp
from plan import arguments, report_retries, send_all_in_tasks

_, url, plan, workers = arguments()
# aiohttp sends idempotent requests again, such as PUT, if a kept connection was closed. Each attempt takes a connection.
attempts = sent = 0


async def count_attempt(*_):
    global attempts
    attempts += 1


async def main():
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(count_attempt)
    trace.on_connection_reuseconn.append(count_attempt)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(trace_configs=[trace], timeout=timeout) as session:

        async def send(method, path, body, headers):
            global sent
            sent += 1
            async with session.request(method, url + path, data=body, headers=headers) as answer:
                await answer.read()
                return answer.status

        await send_all_in_tasks(plan, workers, send, (aiohttp.ClientError, OSError, asyncio.TimeoutError))
    report_retries(attempts - sent)


asyncio.run(main())
