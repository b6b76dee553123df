"""OpenFeature's flagd provider, which evaluates in the process, on the file argv[1]: prints what callers of flag argv[2] get
whose own default is false, and those whose own default is true; a line each time that it is another."""

import os
import sys
import time

os.environ["FLAGD_OFFLINE_POLL_MS"] = "50"

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType

path, key = sys.argv[1:3]
api.set_provider_and_wait(FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=path))
client = api.get_client()


def served(default):
    detail = client.get_boolean_details(key, default)
    return f"{detail.value} {detail.variant or '-'} {getattr(detail.reason, 'value', detail.reason)}"


said = None
while True:
    now = f"{served(False)}, {served(True)}"
    if now != said:
        print(now, flush=True)
        said = now
    time.sleep(0.02)
