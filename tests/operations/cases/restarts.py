"""Restarts at night: after a bad publish, an overwritten or deleted version, without an alias. What starts serves what runs."""

from testbed.case import CONDITIONAL, FOLDER, S3, case
from testbed.files import Files
from testbed.processes import wait_until


def survives(bed, cache, what, expected):
    """Starts an engine with the cache of one that has served, and expects that it serves the same."""
    started = bed.engine(cache=cache, ready=False, environment={"HOME": str(bed.folder)})
    bed.expect(started.becomes_ready(30), f"{what}: after a restart it is not ready: {started.get('/health/ready')[1]} {started.failed()}")
    bed.expect(started.served() == expected, f"{what}: after a restart it serves {started.served()}: {started.failed()}")
    bed.expect(started.predict()[0] == 200, f"{what}: after a restart a prediction is answered {started.predict()}")
    bed.expect(started.lines("warn", "error"), f"{what}: the log of the restarted engine says nothing")
    return started


@case(stores=(FOLDER, *S3))
def a_restart_after_a_bad_publish_serves_what_was_served(bed):
    """Without an alias the highest version wins. If it is broken, what runs and what starts serve the one before, and a gauge tells."""
    bed.publish("logistic")
    cache = bed.folder / "cache"
    engine = bed.engine(cache=cache, environment={"HOME": str(bed.folder)})
    Files(bed).write_broken_version("churn", 2)
    engine.reload()
    bed.expect(wait_until(engine.failed, 20), "the broken version is not told")
    bed.expect(engine.served() == {"churn": 1} and engine.is_ready(), f"it serves {engine.served()}")
    bed.expect(engine.metric("onnward_model_failing", model="churn") == 1, "no gauge tells that the model fails")
    engine.stop()
    survives(bed, cache, "a broken version", {"churn": 1})
    new = bed.engine(ready=False, environment={"HOME": str(bed.folder / "new")})
    bed.expect(new.becomes_ready(20) and new.served() == {"churn": 1}, f"a new engine serves {new.served()}: {new.failed()}")


@case(stores=(FOLDER, *CONDITIONAL))
def a_restart_after_a_promotion_of_a_broken_version_serves_what_was_served(bed):
    """An alias that names a broken version is told. What runs and what starts again serve the version before."""
    bed.publish("logistic", "churn", "--alias", "champion")
    cache = bed.folder / "cache"
    engine = bed.engine(cache=cache, environment={"HOME": str(bed.folder)})
    promote_broken_version(bed)
    engine.reload()
    bed.expect(wait_until(engine.failed, 20), "the broken version is not told")
    bed.expect(engine.served() == {"churn": 1} and engine.is_ready(), f"it serves {engine.served()}")
    engine.stop()
    survives(bed, cache, "a broken promotion", {"churn": 1})


@case(stores=(FOLDER, *CONDITIONAL))
def a_new_engine_after_a_promotion_of_a_broken_version_serves_the_one_before(bed):
    """A new machine has no cache. If the alias names a broken version, its own history says what engines served before."""
    bed.publish("logistic", "churn", "--alias", "champion")
    promote_broken_version(bed)
    new = bed.engine(ready=False, environment={"HOME": str(bed.folder)})
    bed.expect(new.becomes_ready(15), f"it is not ready: {new.get('/health/ready')[1]}")
    bed.expect(new.served() == {"churn": 1}, f"it serves {new.served()}: {new.failed()}")


def promote_broken_version(bed):
    Files(bed).write_broken_version("churn", 2)
    bed.export("promote", "churn", "2", "--other-schema")


@case(stores=S3)
def an_engine_with_a_deleted_or_overwritten_version_survives_a_restart(bed):
    """A served version that a hand deletes or overwrites in the store stays served, over a restart, and a gauge tells of the risk."""
    bed.two_versions()
    for what, damage in {"deleted": lambda files: files.remove_version("churn", 1),
                         "overwritten": lambda files: files.write("churn/1/model.onnx", b"something else")}.items():
        files = Files(bed)
        kept = {name: files.read(f"churn/1/{name}") for name in ("model.onnx", "manifest.json")}
        cache = bed.folder / f"cache-{what}"
        engine = bed.engine(cache=cache)
        damage(files)
        engine.reload()
        bed.expect(engine.served() == {"churn": 1} and engine.predict()[0] == 200, f"{what}: it serves {engine.served()}")
        risk = wait_until(lambda engine=engine: engine.metric("onnward_model_restart_at_risk", model="churn") == 1, 15)
        bed.expect(risk, f"{what}: onnward_model_restart_at_risk is {engine.metric('onnward_model_restart_at_risk', model='churn')}")
        engine.stop()
        survives(bed, cache, what, {"churn": 1})
        for name, data in kept.items():
            files.write(f"churn/1/{name}", data)


@case(stores=S3)
def a_store_that_is_down_at_start_keeps_what_was_served(bed):
    """An engine that starts while its store is away serves from its cache, and follows the store once it is back."""
    bed.two_versions()
    proxy = bed.proxy()
    cache = bed.folder / "cache"
    bed.engine(cache=cache).stop()
    upstream, proxy.upstream_port = proxy.upstream_port, 1
    engine = survives(bed, cache, "a store that is away", {"churn": 1})
    proxy.upstream_port = upstream
    bed.export("promote", "churn", "2")
    bed.expect(engine.serves(2), f"it does not follow the store: {engine.status()['repository']}")


@case(stores=(FOLDER, *S3))
def required_alias_serves_nothing_that_nobody_promoted(bed):
    """With `required_alias = true` a model without the alias is not served, says why, and is served once it is promoted."""
    bed.publish("logistic")
    engine = bed.engine(lines=["required_alias = true"], ready=False)
    bed.expect(wait_until(lambda: engine.failed() or engine.lines("warn", "error"), 20), "nothing is told")
    bed.expect(not engine.is_ready() and engine.served() == {}, f"it serves {engine.served()}")
    bed.export("promote", "churn", "1")
    bed.expect(engine.serves(1) and engine.becomes_ready(10), f"after a promotion it serves {engine.served()}: {engine.failed()}")
    bed.publish("forest")
    engine.reload()
    bed.expect(engine.served() == {"churn": 1}, f"after a publish it serves {engine.served()}")


@case()
def a_misspelt_alias_a_missing_model_and_an_unreadable_pointer_are_told(bed):
    """Each has a line in the log and a gauge: an alias that no model has, a required model that is not there, a pointer of garbage."""
    bed.two_versions()
    misspelt = bed.engine(lines=['alias = "champoin"'])
    bed.expect(misspelt.said("champoin"), f"the misspelt alias is not told: {misspelt.lines('warn', 'error')}")
    missing = bed.engine(lines=['required_models = ["churn", "fraud"]', 'default_model = "chrun"'], ready=False)
    bed.expect(wait_until(lambda: missing.said("fraud"), 10), f"the missing model is not told: {missing.lines('warn', 'error')}")
    bed.expect(missing.said("chrun"), "the misspelt default model is not told")
    bed.expect(missing.metric("onnward_required_models_missing") == 1, "no gauge counts the missing model")
    bed.expect(missing.metric("onnward_default_model_missing") == 1, "no gauge tells of the default model")
    bed.expect(not missing.is_ready() and missing.metric("onnward_ready") == 0, "it is ready")
    engine = bed.engine()
    Files(bed).write("churn/aliases/champion/00000000000000000007.json", b"{")
    engine.reload()
    bed.expect(engine.served() == {"churn": 1} and engine.is_ready(), f"it serves {engine.served()}")
    bed.expect([failure for failure in engine.failed() if failure[0] == "churn"], "the pointer is no failure in /models")
    bed.expect(engine.said("00000000000000000007"), "the log does not name the pointer")
    bed.expect(engine.metric("onnward_model_failing", model="churn") == 1, "no gauge tells of the pointer")
    told = bed.export("promote", "churn", "2", status=None)
    bed.expect(told.status == 0 or "repair" in told.text or "00000000000000000007" in told.text, told)
