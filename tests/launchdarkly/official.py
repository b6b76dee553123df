"""LaunchDarkly's own clients, on a server at argv[1]: prints what they see, a line each, until the flag has gone off."""

import sys
import time

import ldclient
import launchdarkly_api
from ldclient.config import Config

url, token, key = sys.argv[1:4]
management = launchdarkly_api.Configuration(host=url, api_key={"ApiKey": token})
flags = launchdarkly_api.FeatureFlagsApi(launchdarkly_api.ApiClient(management))


def managed():
    environment = flags.get_feature_flag("default", key).environments["production"]
    return f"{environment.on} {environment.version}"


ldclient.set_config(Config("sdk-key", base_uri=url, stream_uri=url, events_uri=url, diagnostic_opt_out=True))
client = ldclient.get()
user = ldclient.Context.builder("somebody").build()


def served():
    detail = client.variation_detail(key, user, None)
    return f"{detail.value} {detail.reason['kind']}"


print("managed", managed(), flush=True)
print("served", served(), flush=True)
deadline = time.time() + 60
while served() != "False OFF" and time.time() < deadline:
    time.sleep(0.02)
print("served", served(), flush=True)
print("managed", managed(), flush=True)
client.close()
