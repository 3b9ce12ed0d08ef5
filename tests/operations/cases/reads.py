"""What a store does to reads: pages with 200, login pages, errors, and downloads that drip."""

import time

from testbed.case import CONDITIONAL, S3, case
from testbed.processes import wait_until
from testbed.proxy import Answer, Drip, error_document

from .writes import HTML, PAGE


@case(stores=S3)
def a_page_with_200_is_no_empty_repository(bed):
    """A listing that is a page is an error that is told: what is served stays, and nobody speaks of an empty repository."""
    bed.two_versions()
    proxy = bed.proxy()
    engine = bed.engine()
    load = engine.load()
    proxy.set(Answer("GET .*list-type=2", 200, PAGE, HTML))
    bed.expect(engine.reload()[0] == 503, f"a reload answers {engine.reload()}")
    repository = engine.status()["repository"]
    bed.expect(not repository["reachable"] and repository.get("error"), f"the status says {repository}")
    bed.expect(engine.served() == {"churn": 1} and engine.is_ready(), f"it serves {engine.served()}")
    told = bed.export("versions", "churn", status=None, location=bed.location)
    bed.expect(told.status == 1, told)
    bed.expect("no model" not in told.text and "no versions" not in told.text, f"it says {told.text}")
    new = bed.engine(ready=False)
    time.sleep(1)
    bed.expect(not new.is_ready(), "a new engine without a cache is ready")
    bed.expect(not new.said("contains no models"), "a new engine says that the repository is empty")
    proxy.set()
    bed.expect(new.becomes_ready(30), "the new engine does not recover")
    load.end()
    bed.expect(not load.failures, f"requests failed: {load.failures[:3]}")
    return f"{load.answers} requests, none failed"


@case(stores=S3)
def a_page_with_200_is_no_model(bed):
    """A page in place of a model's file or manifest fails that version with a reason, and what is served stays."""
    for what in ("model.onnx", "manifest.json"):
        model = f"churn-{what[:5]}"
        bed.publish("logistic", model, "--alias", "champion")
        bed.publish("forest", model)
    proxy = bed.proxy()
    engine = bed.engine()
    for what in ("model.onnx", "manifest.json"):
        model = f"churn-{what[:5]}"
        proxy.set(Answer(f"GET .*{model}/2/{what}", 200, PAGE, HTML))
        bed.export("promote", model, "2", "--other-schema")
        engine.reload()
        bed.expect(engine.served()[model] == 1, f"{what}: it serves {engine.served()}")
        bed.expect([failure for failure in engine.failed() if failure[0] == model], f"{what}: nothing is told as failed")
        proxy.set()
        engine.reload()
        bed.expect(engine.serves(2, model, 30), f"{what}: it does not recover: {engine.failed()}")


@case(stores=S3)
def a_login_page_at_start_keeps_what_was_served_last(bed):
    """An engine that starts before a network's login page serves from its cache what it served last, says so, and recovers."""
    bed.two_versions()
    proxy = bed.proxy()
    cache = bed.folder / "cache"
    bed.engine(cache=cache).stop()
    ways = {"a page with 200": Answer(".", 200, PAGE, HTML), "a redirect": Answer(".", 302, "", {"location": "http://login.invalid/"}),
            "511": Answer(".", 511, PAGE, HTML)}
    for what, fault in ways.items():
        proxy.set(fault)
        engine = bed.engine(cache=cache, ready=False)
        bed.expect(engine.becomes_ready(30), f"{what}: not ready: {engine.get('/health/ready')[1]}")
        bed.expect(engine.served() == {"churn": 1}, f"{what}: it serves {engine.served()}")
        bed.expect(engine.predict()[0] == 200, f"{what}: a prediction is answered {engine.predict()}")
        repository = engine.status()["repository"]
        bed.expect(not repository["reachable"] and repository.get("error"), f"{what}: the status says {repository}")
        bed.expect(engine.lines("warn", "error"), f"{what}: the log says nothing")
        bed.expect(bed.export("versions", "churn", status=None, location=bed.location).status == 1, f"{what}: `versions` succeeds")
        proxy.set()
        bed.expect(engine.reload()[0] == 200 and engine.status()["repository"]["reachable"], f"{what}: it does not recover")
        engine.stop()


ERRORS = [(403, "AccessDenied"), (409, "OperationAborted"), (501, "NotImplemented"), (500, "InternalError"), (404, "NoSuchBucket"),
          (400, "ExpiredToken")]


@case(stores=S3)
def an_error_of_the_store_is_told_with_its_code_and_passes(bed):
    """Each error on listings is in the status with the store's code, stops no prediction, and is forgotten once it is over."""
    bed.two_versions()
    proxy = bed.proxy()
    engine = bed.engine()
    load = engine.load()
    for status, code in ERRORS:
        proxy.set(Answer("GET .*list-type=2", status, error_document(code, "This is why.")))
        bed.expect(engine.reload()[0] == 503, f"{status}: a reload answers {engine.reload()}")
        repository = engine.status()["repository"]
        bed.expect(code in str(repository.get("error")), f"{status}: the status says {repository}")
        bed.expect("<Error" not in str(repository), f"{status}: raw XML: {repository}")
        told = bed.export("versions", "churn", status=1, location=bed.location)
        bed.expect_words(told.text, [code], f"{status}, exporter")
        proxy.set()
        bed.expect(engine.reload()[0] == 200, f"{status}: afterwards a reload answers {engine.reload()}")
        bed.expect(engine.status()["repository"].get("error") is None, f"{status}: {engine.status()['repository']}")
    load.end()
    bed.expect(not load.failures, f"requests failed: {load.failures[:3]}")
    return f"{load.answers} requests, none failed"


@case(stores=S3)
def a_download_that_drips_ends_and_says_what_was_measured(bed):
    """A download below the least speed ends, is a failure with figures and a gauge, and is tried again once the store is well."""
    bed.two_versions()
    proxy = bed.proxy()
    engine = bed.engine()
    proxy.set(Drip("GET .*/churn/2/model.onnx"))
    bed.export("promote", "churn", "2")
    begun = time.monotonic()
    failed = wait_until(engine.failed, 60)
    seconds = time.monotonic() - begun
    if bed.expect(failed, "a download of one byte a second does not end within a minute"):
        bed.expect_words(str(failed), ["1 KiB/s", "model.onnx"], "the failure")
        bed.expect(engine.metric("onnward_model_failing", model="churn") == 1, f"gauge: {engine.metric('onnward_model_failing')}")
    bed.expect(engine.served() == {"churn": 1} and engine.is_ready(), f"it serves {engine.served()}")
    proxy.set()
    bed.expect(engine.serves(2, seconds=60), f"it is not tried again: {engine.failed()}")
    return f"ended after {seconds:.1f} s"


@case(stores=CONDITIONAL)
def a_silent_download_delays_no_other_model(bed):
    """While the file of one model does not come at all, another model is promoted within its look."""
    for model in ("churn", "other"):
        bed.publish("logistic", model, "--alias", "champion")
        bed.publish("forest", model)
    proxy = bed.proxy()
    engine = bed.engine()
    proxy.set(Drip("GET .*/churn/2/model.onnx", every=3600))
    bed.export("promote", "churn", "2")
    bed.export("promote", "other", "2")
    bed.expect(engine.serves(2, "other", 10), f"the other model is not promoted: {engine.served()} {engine.failed()}")
    bed.expect(engine.is_ready(), "it is not ready")
