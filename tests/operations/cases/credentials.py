"""How a store is reached: keys, clocks, permissions, addresses, prefixes, authorities."""

import subprocess
from pathlib import Path

from testbed.bed import run
from testbed.case import CONDITIONAL, S3, SEAWEEDFS, case
from testbed.processes import wait_until
from testbed.proxy import Answer, error_document
from testbed.stores import DOMAIN

# What AWS and most stores answer, for stores that do not check it themselves.
DENIALS = {
    "a wrong key": ("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
    "a wrong secret": ("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."),
    "a wrong clock": ("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
    "no permission": ("AccessDenied", "Access Denied"),
}


@case(stores=S3)
def a_wrong_key_a_wrong_secret_a_wrong_clock_and_no_permission_are_four_sentences(bed):
    """The exporter and the engine say which of the four it is, each in its own words, with the store's code."""
    bed.two_versions()
    proxy = bed.proxy()
    sentences = {}
    for what, (code, message) in DENIALS.items():
        proxy.set(Answer(".", 403, error_document(code, message)))
        told = bed.export("versions", "churn", status=None, location=bed.location)
        bed.expect(told.status == 1, f"{what}: {told}")
        bed.expect_words(told.text, [code], what)
        sentences[what] = told.text.replace(code, "")
        engine = bed.engine(ready=False)
        reason = wait_until(lambda engine=engine: engine.status()["repository"].get("error"), 20)
        bed.expect(reason and code in reason, f"{what}: the engine says {reason}")
        bed.expect(not engine.is_ready(), f"{what}: the engine is ready")
        engine.stop()
    bed.expect(len(set(sentences.values())) == len(DENIALS), f"they are not four sentences: {sentences}")


@case(stores=[SEAWEEDFS])
def a_store_that_checks_keys_is_told_apart(bed):
    """With a store's own checks: a wrong key, a wrong secret, and a reader who writes are refused in a sentence each."""
    bed.two_versions()
    tries = {"a wrong key": ({"AWS_ACCESS_KEY_ID": "nobody"}, ["versions", "churn"], "InvalidAccessKeyId"),
             "a wrong secret": ({"AWS_SECRET_ACCESS_KEY": "wrong"}, ["versions", "churn"], "SignatureDoesNotMatch"),
             "a reader": ({"AWS_ACCESS_KEY_ID": bed.store.reader_key}, ["promote", "churn", "2"], "AccessDenied")}
    for what, (environment, command, code) in tries.items():
        told = bed.export(*command, environment=environment, status=None)
        bed.expect(told.status == 1, f"{what}: {told}")
        bed.expect_words(told.text, [code], what)
        bed.expect("<Error" not in told.text, f"{what}: raw XML: {told.text}")
    reader = {"AWS_ACCESS_KEY_ID": bed.store.reader_key}
    bed.export("versions", "churn", environment=reader)
    bed.expect(bed.engine(environment=reader).served() == {"churn": 1}, "an engine with a reader's key does not serve")


@case(stores=CONDITIONAL)
def half_a_key_and_no_key_are_told_before_a_request(bed):
    """Half a key names the variable that is missing. Without any key there are no credentials, which is not the same as denied."""
    bed.two_versions()
    half = bed.export("versions", "churn", status=None, environment={"AWS_SECRET_ACCESS_KEY": None})
    bed.expect(half.status in (1, 2), half)
    bed.expect("secret" in half.text.lower() and "Generic S3 error" not in half.text, f"half a key: {half.text}")
    none = bed.export("versions", "churn", status=None, environment={"AWS_SECRET_ACCESS_KEY": None, "AWS_ACCESS_KEY_ID": None})
    bed.expect(none.status in (1, 2), none)
    bed.expect_words(none.text, ["credentials"], "no key")
    bed.expect("denied" not in none.text, f"no key: {none.text}")


@case(stores=S3)
def an_empty_or_misspelt_prefix_is_told(bed):
    """A prefix without models is told by the engine, which is not ready, and by the exporter, which fails."""
    bed.two_versions()
    location = f"{bed.location}-misspelt"
    told = bed.export("versions", "churn", status=None, location=location)
    bed.expect(told.status == 1 and "churn" in told.text, told)
    engine = bed.engine(location=location, ready=False)
    bed.expect(wait_until(lambda: engine.said("contains no models"), 20), f"the engine does not say it: {engine.lines('warn', 'error')}")
    bed.expect(not engine.is_ready(), "the engine is ready")


@case(stores=S3)
def a_bucket_that_does_not_exist_is_told(bed):
    """A bucket that does not exist is told as that by both programs, with the store's code."""
    bed.two_versions()
    location = "s3://no-such-bucket/models"
    told = bed.export("versions", "churn", status=None, location=location)
    bed.expect(told.status == 1, told)
    bed.expect_words(told.text, ["bucket does not exist", "NoSuchBucket"], "the exporter")
    engine = bed.engine(location=location, ready=False)
    reason = wait_until(lambda: engine.status()["repository"].get("error"), 20)
    bed.expect(reason and "NoSuchBucket" in reason, f"the engine says {reason}")


@case(stores=CONDITIONAL, needs=["mounts"])
def path_style_false_puts_the_bucket_into_the_host(bed):
    """With `path_style = false` the bucket is part of the host's name, and an address in numbers is refused in a sentence."""
    bed.two_versions()
    hosts = bed.folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n127.0.0.1 models.{DOMAIN} {DOMAIN}\n", encoding="utf-8")
    # Names of buckets are resolved in a mount namespace with a list of hosts of its own.
    named = ["unshare", "--mount", "sh", "-c", f"mount --bind '{hosts}' /etc/hosts && exec \"$@\"", "sh"]
    url = f"http://{DOMAIN}:{bed.store.port}"
    engine = bed.engine(wrapper=named, environment={"AWS_ENDPOINT_URL": url}, lines=["s3.path_style = false"], ready=False)
    bed.expect(engine.becomes_ready(20), f"it is not ready: {engine.status()['repository']} {engine.failed()}")
    bed.expect(engine.served() == {"churn": 1}, f"it serves {engine.served()}")
    config = bed.folder / "address.toml"
    config.write_text(f'repository = "{bed.location}"\nlisten = "127.0.0.1:0"\n[s3]\npath_style = false\nendpoint = "{bed.store.url}"\n',
                      encoding="utf-8")
    refused = run([bed.programs.engine, "serve", "--config", config], {**bed.programs.environment, **bed.store_environment()}, 15)
    bed.expect(refused.status in (1, 2), refused)
    bed.expect_words(refused.text, ["path_style"], "an address")


@case(stores=S3, needs=["openssl"])
def a_store_with_an_authority_of_its_own_is_trusted_by_its_file(bed):
    """`s3.ca_file` and `AWS_CA_BUNDLE` add an authority; without them, and with a broken file, the message is of certificates."""
    bed.two_versions()
    authority, certificate = make_certificates(bed.folder)
    bed.proxy(certificate=certificate)
    refused = bed.export("versions", "churn", status=None, location=bed.location)
    bed.expect(refused.status == 1, refused)
    bed.expect_words(refused.text, ["certificate"], "an unknown authority")
    bed.export("versions", "churn", location=bed.location, environment={"AWS_CA_BUNDLE": str(authority)})
    engine = bed.engine(lines=[f's3.ca_file = "{authority}"'])
    bed.expect(engine.served() == {"churn": 1}, f"it serves {engine.served()}")
    stranger = bed.engine(ready=False)
    reason = wait_until(lambda: stranger.status()["repository"].get("error"), 20)
    bed.expect(reason and "certificate" in reason, f"an engine without the file says {reason}")
    broken = bed.folder / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n", encoding="utf-8")
    told = bed.export("versions", "churn", status=None, location=bed.location, environment={"AWS_CA_BUNDLE": str(broken)})
    bed.expect(told.status in (1, 2), told)
    bed.expect_words(told.text, ["broken.pem"], "a broken file")


def make_certificates(folder: Path):
    """Returns the file of an authority, and the certificate and key that it signed for this machine's address."""
    names = {name: folder / name for name in ("ca.pem", "ca.key", "server.pem", "server.key", "server.csr", "extensions")}
    names["extensions"].write_text("subjectAltName = IP:127.0.0.1\n", encoding="utf-8")
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (
        [*new, "-x509", "-days", "30", "-subj", "/CN=authority of a proof", "-keyout", names["ca.key"], "-out", names["ca.pem"]],
        [*new, "-subj", "/CN=store", "-keyout", names["server.key"], "-out", names["server.csr"]],
        ["openssl", "x509", "-req", "-days", "30", "-in", names["server.csr"], "-CA", names["ca.pem"], "-CAkey", names["ca.key"],
         "-CAcreateserial", "-extfile", names["extensions"], "-out", names["server.pem"]],
    ):
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return names["ca.pem"], (names["server.pem"], names["server.key"])
