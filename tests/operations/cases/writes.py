"""What a store does to writes: conflicts, refusals, pages, redirects, waits, slow lines, and conditions that it ignores."""

import concurrent.futures

from testbed.case import CONDITIONAL, FOLDER, S3, case
from testbed.proxy import Answer, ReceiveSlowly, WithoutCondition, error_document

PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to the network.</body></html>"
HTML = {"content-type": "text/html; charset=utf-8"}
# An upload may take longer than this, in which a write to a silent store ends.
SLOW_SECONDS = 36
WRITERS = 8


@case(stores=CONDITIONAL)
def a_conflict_on_a_write_ends_with_the_stores_code(bed):
    """A store that answers every write of a model with 409 is asked a few times, and the message has its code."""
    proxy = bed.proxy()
    proxy.set(Answer(r"PUT .*/model\.onnx", 409, error_document("ConditionalRequestConflict", "Try again.")))
    refused = bed.publish("logistic", status=None)
    bed.expect(refused.status == 1, refused)
    writes = proxy.seen(r"PUT .*/model\.onnx")
    bed.expect(1 <= len(writes) <= 20, f"{len(writes)} uploads")
    bed.expect_words(refused.text, ["ConditionalRequestConflict"], "409")
    proxy.set()
    bed.expect(bed.publish("logistic", "churn", "--output", "json").json["version"] == 1, "the next publish is not version 1")
    return f"{len(writes)} uploads"


# Which write is refused, with what, the words that the message must have, and whether the version exists afterwards.
REFUSALS = [
    ("a store without conditional writes", r"PUT ", 501, "NotImplemented", "A header implies what is not implemented", [], False),
    ("no permission for models", r"PUT .*/model\.onnx", 403, "AccessDenied", "Access Denied", ["model.onnx"], False),
    ("no permission for manifests", r"PUT .*/manifest\.json", 403, "AccessDenied", "Access Denied", ["manifest.json"], False),
    ("no permission for aliases", r"PUT .*/aliases/", 403, "AccessDenied", "Access Denied", ["is published", "champion"], True),
    ("no permission for the audit log's end", r"PUT .*ended", 403, "AccessDenied", "Access Denied", ["done", "audit"], True),
    ("a file that is too large", r"PUT .*/model\.onnx", 400, "EntityTooLarge", "The upload exceeds the size", ["model.onnx"], False),
    ("a full bucket", r"PUT .*/model\.onnx", 507, "InsufficientStorage", "The quota is used up", ["model.onnx"], False),
]


@case(stores=CONDITIONAL)
def a_refused_write_says_why_and_what_was_done(bed):
    """Each refusal of a write is one sentence with the store's code, says what exists now, and shows no XML."""
    proxy = bed.proxy()
    for number, (what, pattern, status, code, message, words, exists) in enumerate(REFUSALS):
        proxy.set(Answer(pattern, status, error_document(code, message)))
        model = f"model-{number}"
        refused = bed.publish("logistic", model, "--alias", "champion", status=None)
        proxy.set()
        bed.expect(refused.status == 1, f"{what}: {refused}")
        bed.expect_words(refused.text, [code, *words], what)
        bed.expect("<Error" not in refused.text and "<?xml" not in refused.text, f"{what}: raw XML: {refused.text}")
        found = bed.export("versions", model, "--output", "json", status=None)
        versions = found.json["versions"] if found.status == 0 else []
        bed.expect(bool(versions) == exists, f"{what}: afterwards {found}")
    return f"{len(REFUSALS)} refusals"


@case(stores=CONDITIONAL)
def a_page_instead_of_an_answer_is_no_written_file(bed):
    """A page with 200 in place of the answer to a write is no success: nothing is reported as published that is not there."""
    proxy = bed.proxy()
    for pattern in (r"PUT .*/model\.onnx", r"PUT .*/manifest\.json", r"PUT .*/aliases/"):
        proxy.set(Answer(pattern, 200, PAGE, HTML))
        reported = bed.publish("logistic", "churn", "--alias", "champion", status=None)
        proxy.set()
        bed.expect(reported.status == 1, f"{pattern}: {reported}")
        bed.expect(not ("published" in reported.output and reported.status == 0), f"{pattern}: {reported.output}")
        bed.expect_words(reported.text, ["page"] if reported.status else [], pattern)


@case(stores=CONDITIONAL)
def a_redirect_of_a_write_or_a_read_names_the_region(bed):
    """301 and 307 of a bucket in another region say which region it is, without XML."""
    bed.publish("logistic", "churn")
    proxy = bed.proxy()
    document = error_document("PermanentRedirect", "The bucket must be addressed using the specified endpoint.")
    # AWS sends a place to go to with 307 alone.
    region, place = {"x-amz-bucket-region": "eu-west-9"}, {"location": "http://models.s3.eu-west-9.example.org/"}
    for status, headers in ((301, region), (307, {**region, **place})):
        proxy.set(Answer(".", status, document, headers))
        for told in (bed.publish("forest", status=None), bed.export("versions", "churn", status=None)):
            bed.expect(told.status == 1, told)
            bed.expect_words(told.text, ["eu-west-9"], f"{status}")
            bed.expect("<Error" not in told.text, f"{status}: raw XML: {told.text}")


@case(stores=CONDITIONAL)
def a_store_that_asks_for_patience_gets_it(bed):
    """503 with Retry-After on a write, a listing and a download is tried again after that time, and then succeeds."""
    proxy = bed.proxy()
    waits = []

    def after_a_wait(pattern, act):
        proxy.set(Answer(pattern, 503, error_document("SlowDown", "Reduce your request rate."), {"retry-after": "2"}, times=1))
        begun = len(proxy.seen(pattern))
        act()
        tries = proxy.seen(pattern)[begun:]
        if bed.expect(len(tries) >= 2, f"{pattern}: {len(tries)} requests after 503"):
            waits.append(tries[1].begun - tries[0].begun)
            bed.expect(1.9 <= waits[-1], f"{pattern}: tried again after {waits[-1]:.1f} s, not 2 s")

    after_a_wait(r"PUT .*/model\.onnx", lambda: bed.publish("logistic"))
    after_a_wait(r"GET .*list-type=2", lambda: bed.export("versions", "churn"))
    after_a_wait(r"GET .*/model\.onnx", lambda: bed.engine())
    return "tried again after " + ", ".join(f"{wait:.1f} s" for wait in waits)


@case(stores=CONDITIONAL)
def a_slow_upload_succeeds(bed):
    """A line that takes a file slowly, and longer than a silent store may be silent, is no reason to end."""
    size = bed.samples.file("forest").stat().st_size
    proxy = bed.proxy(receive_buffer=4096)
    proxy.set(ReceiveSlowly(r"PUT .*/model\.onnx", size // SLOW_SECONDS))
    published = bed.publish("forest", "churn", "--output", "json", status=None)
    (upload, *again) = proxy.seen(r"PUT .*/model\.onnx")
    seconds = (upload.ended or upload.begun) - upload.begun
    bed.expect(published.status == 0, f"after {seconds:.0f} s: {published}")
    bed.expect(not again, f"the upload began {len(again) + 1} times")
    return f"{size} bytes in {seconds:.0f} s"


@case(stores=S3)
def a_store_that_ignores_conditions_is_refused_before_a_version_is_lost(bed):
    """Eight publishers at once into a store that ignores If-None-Match: each is refused in a sentence, and nothing is half there."""
    if bed.store.honours_conditions:
        bed.proxy().set(WithoutCondition("PUT ", bed.store.delete))
    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        names = ["logistic", "forest"] * (WRITERS // 2)
        refused = list(pool.map(lambda name: bed.publish(name, status=None, location=bed.location), names))
    for one in refused:
        bed.expect(one.status == 1, one)
        bed.expect_words(one.text, ["If-None-Match"], "the refusal")
    left = [key for key in bed.store.keys(bed.prefix) if key.endswith((".onnx", "manifest.json"))]
    bed.expect(not left, f"there is {left}")
    return f"{sum(one.status == 1 for one in refused)} of {WRITERS} refused"


@case(stores=(FOLDER, *CONDITIONAL))
def eight_publishers_and_promoters_at_once_lose_nothing(bed):
    """Of eight publishers at once each gets a version of its own; of eight moves of an alias each is whole or refused."""
    bed.publish("logistic")
    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        names = ["forest", "retrained"] * (WRITERS // 2)
        published = list(pool.map(lambda name: bed.publish(name, "churn", "--allow-duplicate", "--output", "json", status=None), names))
        numbers = [one.json["version"] for one in published if bed.expect(one.status == 0, one)]
        bed.expect(len(set(numbers)) == len(numbers), f"versions were given twice: {sorted(numbers)}")
        moved = list(pool.map(lambda version: bed.export("promote", "churn", version, status=None), range(1, WRITERS + 1)))
    for version in numbers:
        bed.export("pull", "churn", version, "--out", bed.folder / f"pulled-{version}")
    successes = sum(one.status == 0 for one in moved)
    for one in moved:
        bed.expect(one.status == 0 or "concurrently" in one.text, one)
    moves = bed.export("history", "churn", "champion", "--output", "json").json["entries"]
    bed.expect(successes >= 1 and len(moves) == successes, f"{successes} promotions succeeded, and {len(moves)} moves are recorded")
    return f"{len(numbers)} versions, {successes} moves"
