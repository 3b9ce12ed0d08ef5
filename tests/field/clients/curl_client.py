"""Sends the plan's requests with libcurl: one multi handle with its pool of connections; with --http2 over HTTP/2 without TLS, where
several requests share a connection."""

import io

import pycurl
from plan import arguments, content, report, report_retries

options, url, plan, workers = arguments()
http2 = "--http2" in options
retries = 0


def count_retries(kind, text):
    global retries
    # It says so when it sends a request again that met a closed connection.
    retries += kind == pycurl.INFOTYPE_TEXT and any(word in text for word in (b"retrying", b"re-sending", b"rewind"))


def prepare(handle, request):
    number, method, path, chunked, body, headers = request
    body = content(body)
    handle.reset()
    handle.number = number
    handle.setopt(pycurl.URL, url + path)
    handle.setopt(pycurl.POST, 1)
    handle.setopt(pycurl.CUSTOMREQUEST, method)
    # HTTP/2 has no such framing.
    if chunked and not http2:
        handle.setopt(pycurl.READDATA, io.BytesIO(body))
        headers = {**headers, "transfer-encoding": "chunked"}
    else:
        handle.setopt(pycurl.POSTFIELDS, body)
    handle.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in headers.items()])
    handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE if http2 else pycurl.CURL_HTTP_VERSION_1_1)
    handle.setopt(pycurl.PIPEWAIT, http2)
    handle.setopt(pycurl.PROXY, "")
    handle.setopt(pycurl.TIMEOUT, 60)
    handle.setopt(pycurl.WRITEFUNCTION, len)
    handle.setopt(pycurl.VERBOSE, 1)
    handle.setopt(pycurl.DEBUGFUNCTION, count_retries)


def start_next(multi, handle):
    request = next(plan, None)
    if request is None:
        return 0
    prepare(handle, request)
    multi.add_handle(handle)
    return 1


multi = pycurl.CurlMulti()
multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
running = sum(start_next(multi, pycurl.Curl()) for _ in range(workers))
while running:
    multi.perform()
    _, succeeded, failed = multi.info_read()
    for handle, error in [*((handle, None) for handle in succeeded), *((handle, text) for handle, _, text in failed)]:
        # Where streams share a connection, libcurl 8 may call it an error that it stopped an upload itself, after the response came.
        report(handle.number, handle.getinfo(pycurl.RESPONSE_CODE) or "-", error)
        multi.remove_handle(handle)
        running += start_next(multi, handle) - 1
    if not succeeded and not failed:
        multi.select(1.0)
report_retries(retries)
