# SPDX-License-Identifier: Apache-2.0
# Asks a running Prometheus every question of the dashboard and of the alert rules: each must be understood, every panel
# that is not of faults alone must show something, and each metric that they name must be there, but for those that take a card, a CRL or the like to be there at all.
# usage: prometheus.py URL DASHBOARD.json
import json
import re
import sys
import urllib.parse
import urllib.request

SOMETIMES = {"espalier_crl_next_update_timestamp_seconds", "espalier_certificate_not_after_timestamp_seconds"}
VARIABLES = {"$instance": ".*", "$connection": ".*", "$__rate_interval": "10s"}


def get(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=10) as r:
        answer = json.load(r)
    if answer["status"] != "success":
        raise RuntimeError(answer)
    return answer["data"]


def query(base: str, expr: str) -> list:
    return get(f"{base}/api/v1/query?{urllib.parse.urlencode({'query': expr})}")["result"]


def dashboard(path: str) -> list:
    with open(path, encoding="utf-8") as f:
        board = json.load(f)
    found = []
    for panel in board["panels"]:
        for target in panel["targets"]:
            expr = target["expr"]
            for name, value in VARIABLES.items():
                expr = expr.replace(name, value)
            found.append((panel["title"], expr))
    return found


def main() -> int:
    base, path = sys.argv[1:]
    rules = [r for g in get(f"{base}/api/v1/rules")["groups"] for r in g["rules"]]
    bad = [r for r in rules if r["health"] != "ok" or r.get("lastError")]
    panels = dashboard(path)
    asked = panels + [(r["name"], r["query"]) for r in rules]
    named = set()
    answered = 0
    silent = []
    for title, expr in asked:
        answer = query(base, expr)
        answered += bool(answer)
        if not answer and (title, expr) in panels and not expr.endswith("> 0"):  # of those there may be none
            silent.append(title)
        named |= set(re.findall(r"\b(?:espalier|process)_[a-z0-9_]+", expr))
    absent = [n for n in sorted(named - SOMETIMES) if not query(base, n)]
    for r in bad:
        print(f"rule {r['name']}: {r['health']} {r.get('lastError')}", file=sys.stderr)
    for title in silent:
        print(f"the panel {title} shows nothing", file=sys.stderr)
    for n in absent:
        print(f"{n} is asked for, and there is none", file=sys.stderr)
    print(f"{len(rules)} rules, {len(asked)} questions, {answered} with an answer now, {len(named)} metrics")
    return 1 if bad or absent or silent or not rules else 0


sys.exit(main())
