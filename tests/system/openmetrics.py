# SPDX-License-Identifier: Apache-2.0
# An oracle: what Prometheus' own client library reads in a scrape. OpenMetrics is read by its strict parser, the
# older text format by the other one. Prints one sample a line, labels sorted; exit status 1 and why, where the text is wrong.
# usage: openmetrics.py openmetrics|text FILE
import sys

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

UNITS = ("seconds", "bytes")


def main() -> int:
    form, path = sys.argv[1:]
    with open(path, encoding="utf-8", newline="") as f:
        text = f.read()
    families = openmetrics_parser.text_string_to_metric_families if form == "openmetrics" else parser.text_string_to_metric_families
    seen = set()
    for family in families(text):
        if not family.documentation:
            print(f"{family.name} has no help", file=sys.stderr)
            return 1
        if form == "openmetrics" and family.name.endswith(UNITS) and not family.unit:
            print(f"{family.name} does not tell its unit", file=sys.stderr)
            return 1
        for s in family.samples:
            labels = ",".join(f'{k}="{s.labels[k]}"' for k in sorted(s.labels))
            key = f"{s.name}{{{labels}}}"
            if key in seen:
                print(f"{key} is there twice", file=sys.stderr)
                return 1
            seen.add(key)
            print(f"{key} {s.value:.15g}")
    return 0


sys.exit(main())
