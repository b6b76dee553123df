"""A shop's checkout that asks Unleash for its flags and tells burngate how its requests went.

It makes two flags in Unleash (new-checkout, fast-search; on for half of the users in development and production), then serves
RATE requests a second. After FAIL_AFTER_SECS, requests with new-checkout fail one time in three. Nothing here knows of
burngate: when the flag goes off, the failures end by themselves. One line of JSON each STATUS_SECS tells how it goes, and
one when the first request fails.
"""
import json
import os
import random
import time
import urllib.error
import urllib.request

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace import Status as SpanStatus
from UnleashClient import UnleashClient

ENV = os.environ.get
UNLEASH = ENV("UNLEASH_URL", "http://127.0.0.1:4242").rstrip("/")
RATE = float(ENV("RATE", "50"))
FAIL_AFTER_SECS = float(ENV("FAIL_AFTER_SECS", "120"))
RUN_SECS = float(ENV("RUN_SECS", "inf"))
STATUS_SECS = float(ENV("STATUS_SECS", "5"))
FLAGS = ("new-checkout", "fast-search")


def admin(method, path, body=None):
    """One call of Unleash's admin API; a conflict means that it was made before."""
    request = urllib.request.Request(
        f"{UNLEASH}/api/admin{path}", json.dumps(body or {}).encode(), method=method,
        headers={"Authorization": ENV("UNLEASH_ADMIN_TOKEN"), "Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=10).read()
        return True
    except urllib.error.HTTPError as error:
        if error.code == 409:
            return False
        raise


def make_flags():
    half = {"name": "flexibleRollout", "parameters": {"rollout": "50", "stickiness": "userId", "groupId": "shop"}}
    for flag in FLAGS:
        if admin("POST", "/projects/default/features", {"name": flag, "type": "release"}):
            for environment in ("development", "production"):
                place = f"/projects/default/features/{flag}/environments/{environment}"
                half["parameters"]["groupId"] = flag
                admin("POST", f"{place}/strategies", half)
                admin("POST", f"{place}/on")


class Status:
    """What went out since the last line: requests, failures, and how often the SDK said on, by flag."""

    def __init__(self):
        self.next, self.failed_ever = time.time() + STATUS_SECS, False
        self.clear()

    def clear(self):
        self.requests, self.failures, self.on = 0, 0, dict.fromkeys(FLAGS, 0)

    def count(self, on, fails):
        self.requests += 1
        self.failures += fails
        for flag in on:
            self.on[flag] += 1
        if fails and not self.failed_ever:
            self.failed_ever = True
            self.say(event="first failure")
        if time.time() >= self.next:
            self.next += STATUS_SECS
            self.say(event="status", requests=self.requests, failures=self.failures, on=self.on)
            self.clear()

    @staticmethod
    def say(**what):
        print(json.dumps({"at": round(time.time(), 3), **what}), flush=True)


def main():
    make_flags()
    unleash = UnleashClient(f"{UNLEASH}/api", "shop", refresh_interval=2, disable_metrics=True,
                            custom_headers={"Authorization": ENV("UNLEASH_BACKEND_TOKEN")})
    unleash.initialize_client()
    provider = TracerProvider(resource=Resource.create({
        "service.name": "checkout", "deployment.sha": ENV("DEPLOYMENT_SHA", "9fceb02"),
        "deployment.environment.name": "production"}))
    endpoint = ENV("OTLP_ENDPOINT", "http://127.0.0.1:4317")
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=True),
                                                   schedule_delay_millis=500))
    tracer, start, status = provider.get_tracer("shop"), time.time(), Status()
    status.say(event="serving", requests_per_second=RATE, fails_after_secs=FAIL_AFTER_SECS)
    due = start
    while time.time() - start < RUN_SECS:
        user = {"userId": str(random.randrange(10_000))}
        on = [flag for flag in FLAGS if unleash.is_enabled(flag, user)]
        burning = time.time() - start > FAIL_AFTER_SECS
        fails = burning and "new-checkout" in on and random.random() < 1 / 3
        with tracer.start_as_current_span("POST /checkout", kind=SpanKind.SERVER) as span:
            span.set_attribute("http.request.method", "POST")
            span.set_attribute("http.route", "/checkout")
            span.set_attribute("http.response.status_code", 500 if fails else 200)
            span.set_attribute("feature.flags", on)
            if fails:
                span.set_status(SpanStatus(StatusCode.ERROR))
        status.count(on, fails)
        # At the rate, whatever a request costs; after a pause there is no rush to catch up.
        due = max(due + 1 / RATE, time.time() - 1)
        time.sleep(max(0.0, due - time.time()))
    provider.shutdown()
    unleash.destroy()


if __name__ == "__main__":
    main()
