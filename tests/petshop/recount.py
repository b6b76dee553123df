#!/usr/bin/env python3
"""Counts a recording of metrics anew, and says when each alert begins and ends to fire. Shares no code with burngate.

 recount.py RECORDING.jsonl.gz TRUTH.jsonl RULES.json
 RULES: {"from": UNIX, "to": UNIX, "tail": SECS, "min_bad": N, "period": SECS, "slos": {NAME: {"budget": [N, D],
         "slower_than": SECS or null, "alerts": [{"name", "windows": [[SECS, [N, D]], ...]}]}}}
 Prints: {"points": N, "edges": [[AT, SLO, ALERT, BEGINS], ...], "sums": {SLO: {AT: {WINDOW: [GOOD, BAD]}}},
          "incidents": {ID: {SLO: {"all", "bad", "burn", "points", "over", "worst": {WINDOW: BURN}, "p95"}}}}

A window at t holds the points of (t - w, t]; the far edge is rounded down to ten seconds, and to a minute in windows
of more than two hours. Of a summary the share below a threshold is a line between its quantiles, and never more than
the highest of them says; it is a fraction of the decimals in the recording.
"""
import bisect, gzip, json, sys
from fractions import Fraction

TEN = 10


def text(attributes, key):
    for attribute in attributes:
        if attribute["key"] == key:
            return str(next(iter(attribute["value"].values())))
    return ""


def decimal(number):
    """The number that a person would write: 0.9 is nine tenths."""
    return Fraction(repr(float(number)))


def fits(share):
    return max(share.numerator, share.denominator) < 2**64


def below(summary, threshold):
    """How many of a summary's observations took at most `threshold` seconds."""
    known = sorted((q["value"], q["quantile"]) for q in summary["quantileValues"])
    at = bisect.bisect_right([value for value, _ in known], threshold)
    if at == 0:
        return 0
    low, lower = known[at - 1]
    high, upper = known[at] if at < len(known) else (low + 1, lower)
    limit = threshold if at < len(known) else low
    within = (decimal(limit) - decimal(low)) / (decimal(high) - decimal(low))
    share = decimal(lower) + (decimal(upper) - decimal(lower)) * within
    if not (fits(within) and fits(share)):
        share = Fraction(round((lower + (upper - lower) * (limit - low) / (high - low)) * 2**32), 2**32)
    return int(int(summary["count"]) * share)


def read(path, begin, end):
    """(end of the point, its requests, those with a status of 5xx, the summary of durations), by time."""
    points = {}
    for line in gzip.open(path, "rt"):
        for resource in json.loads(line)["resourceMetrics"]:
            for metric in (m for scope in resource["scopeMetrics"] for m in scope["metrics"]):
                kind = "sum" if "sum" in metric else "summary"
                for point in metric[kind]["dataPoints"]:
                    at = int(point["timeUnixNano"]) // 10**9
                    if not begin <= at <= end:
                        continue
                    row = points.setdefault(at, {"all": 0, "failed": 0, "summary": None})
                    if kind == "summary":
                        assert row["summary"] is None, "one summary a point"
                        row["summary"] = point
                        continue
                    row["all"] += int(point["asInt"])
                    if int(text(point["attributes"], "http.response.status_code")) >= 500:
                        row["failed"] += int(point["asInt"])
    return dict(sorted(points.items()))


def counts(points, slo):
    """at -> (all, bad)"""
    limit = slo["slower_than"]
    if limit is None:
        return {at: (row["all"], row["failed"]) for at, row in points.items()}
    rows = {at: (int(row["summary"]["count"]), below(row["summary"], limit)) for at, row in points.items()}
    return {at: (all_, all_ - fast) for at, (all_, fast) in rows.items()}


class Sums:
    def __init__(self, series):
        self.at = sorted(series)
        self.all, self.bad = [0], [0]
        for at in self.at:
            self.all.append(self.all[-1] + series[at][0])
            self.bad.append(self.bad[-1] + series[at][1])

    def window(self, now, secs):
        grain = TEN if secs <= 7200 else 60 if secs <= 259200 else 300
        low = bisect.bisect_right(self.at, (now - secs) // grain * grain)
        high = bisect.bisect_right(self.at, now)
        return self.all[high] - self.all[low], self.bad[high] - self.bad[low]


def fires(sums, now, slo, alert, rules):
    budget = Fraction(*slo["budget"])
    for secs, burn in alert["windows"]:
        all_, bad = sums.window(now, secs)
        if all_ == 0 or Fraction(bad, all_) / budget <= Fraction(*burn):
            return False
    secs, burn = max(alert["windows"])
    _, bad = sums.window(now, secs)
    period, _ = sums.window(now, rules["period"])
    spent = Fraction(*burn) * Fraction(secs, rules["period"]) * budget * period
    return bad >= rules["min_bad"] and bad >= spent


def figures(incident, points, slo, sums, series):
    """What an incident did, from its injection to its last point."""
    begin, end = incident["inject_unix"], incident["windows"][-1]["start"] + 300
    budget = Fraction(*slo["budget"])
    mine = [at for at in points if begin < at <= end]
    worst = {}
    for secs in {secs for alert in slo["alerts"] for secs, _ in alert["windows"]}:
        at_ticks = (sums.window(now, secs) for now in range(begin // TEN * TEN + TEN, end + 300, TEN))
        worst[secs] = max(float(Fraction(bad, all_) / budget) for all_, bad in at_ticks if all_)
    quantiles = (q for at in mine for q in points[at]["summary"]["quantileValues"] if q["quantile"] == 0.95)
    all_, bad = sum(series[at][0] for at in mine), sum(series[at][1] for at in mine)
    return {
        "all": all_,
        "bad": bad,
        "burn": float(Fraction(bad, all_) / budget),
        "points": len(mine),
        "over": sum(Fraction(series[at][1], series[at][0]) > budget for at in mine),
        "worst": worst,
        "p95": max(q["value"] for q in quantiles),
    }


def main(recording, truth, rules):
    rules = json.load(open(rules))
    points = read(recording, rules["from"], rules["to"])
    first, last = min(points), max(points)
    incidents = [json.loads(line) for line in open(truth)]
    incidents = [one for one in incidents if rules["from"] <= one["inject_unix"] <= rules["to"]]
    edges, sums, told = [], {}, {one["id"]: {} for one in incidents}
    for name, slo in rules["slos"].items():
        series = counts(points, slo)
        mine = Sums(series)
        for one in incidents:
            told[one["id"]][name] = figures(one, points, slo, mine, series)
        lengths = sorted({secs for alert in slo["alerts"] for secs, _ in alert["windows"]})
        sums[name] = {}
        above = {}
        for now in range(first, last + rules["tail"] + 1, TEN):
            for alert in slo["alerts"]:
                fired = fires(mine, now, slo, alert, rules)
                if above.get(alert["name"], False) != fired:
                    edges.append((now, name, alert["name"], fired))
                above[alert["name"]] = fired
            if now % 300 == 0:
                windows = {secs: mine.window(now, secs) for secs in lengths}
                sums[name][now] = {secs: (all_ - bad, bad) for secs, (all_, bad) in windows.items()}
    edges.sort()
    json.dump({"points": len(points), "edges": edges, "sums": sums, "incidents": told}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
