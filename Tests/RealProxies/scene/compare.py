"""Flow by flow: what Gatewatch says against what was sent; every difference is a miss with its line."""

import functools
import json
import os
import subprocess

from .truth import OneOf

AMBIGUOUS = "ambiguous-columns"
UNPROVEN = "source-unproven"
ALONE = "each log alone"


class Share:
    """A measure as hits of a total."""

    def __init__(self):
        self.hits = 0
        self.total = 0

    def add(self, hit):
        self.total += 1
        self.hits += bool(hit)

    def __str__(self):
        if not self.total:
            return "none to judge"
        return f"{100 * self.hits / self.total:6.2f} %  ({self.hits} of {self.total})"


class Pass:
    """One reading of one set of logs: with or without the policy, or in some special way."""

    def __init__(self, form, policy, way=None):
        self.form = form
        self.policy = policy
        self.alone = way == ALONE
        self.name = f"{form}, {way or ('policy' if policy else 'zero configuration')}"
        self.misses = []
        self.measures = {name: Share() for name in (
            "bypass recall", "bypass precision", "bypass, flagged", "blocked recall", "blocked precision", "outcome accuracy", "path accuracy",
            "claims raised", "counted once", "join recall", "join precision")}
        self.joins = False

    def miss(self, line, column, wanted, found):
        self.misses.append(
            f"{self.name}: {line.log}.log:{line.number} ({line.scenario}): {column}: expected {show(wanted)}, found {show(found)}")


def show(value):
    if isinstance(value, OneOf):
        return " or ".join(show(item) for item in value)
    return json.dumps(value, ensure_ascii=False)


@functools.cache
def joining(gatewatch):
    """What makes `ingest` join hops, where it does not by itself."""
    help = subprocess.run([gatewatch, "ingest", "--help"], capture_output=True, text=True, timeout=60).stdout
    return ["--join-hops"] if "--join-hops" in help and "--no-join-hops" not in help else []


def ingest(gatewatch, folder, database, configuration=None, policy=None):
    command = [gatewatch, "ingest", folder, "--db", database, "--format", "json", *joining(gatewatch)]
    if configuration:
        command += ["--log-format", f"@{configuration}"]
    if policy:
        command += ["--policy", policy]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {result.returncode}: {result.stderr.strip()}")
    return json.loads(result.stdout)


def flows(gatewatch, database):
    result = subprocess.run(
        [gatewatch, "flows", "--format", "ndjson", "--limit", "0", "--db", database], stdin=subprocess.DEVNULL,
        capture_output=True, timeout=60)
    if result.returncode != 0:
        raise RuntimeError(f"gatewatch flows: exit {result.returncode}: {result.stderr.decode(errors='replace').strip()}")
    return [json.loads(line) for line in result.stdout.decode("utf-8", "replace").splitlines()]


def compare(reading, lines, summary, found):
    sums = summary["lines"]
    if sums["read"] != len(lines) or sums["stored"] != len(lines):
        reading.misses.append(f"{reading.name}: {len(lines)} lines were written, but {json.dumps(sums)}; {json.dumps(summary['rejected'])}")
    table = {}
    for flow in found:
        table.setdefault((name_of(flow["log"]), flow["line"]), []).append(flow)
    reading.joins = any(flow["journey"] is not None for flow in found)
    joined = []
    for line in lines:
        candidates = table.get((line.log, line.number), [])
        if len(candidates) != 1:
            reading.miss(line, "flows", 1, len(candidates))
            continue
        judge(reading, line, candidates[0])
        joined.append((line, candidates[0]))
    if reading.joins:
        judge_joins(reading, joined)


def name_of(path):
    """The log's name by its file, or by pod and container in the kubelet's folders."""
    words = path.split("/")
    if words[-1] != "0.log":
        return words[-1].removesuffix(".log")
    pod, container = words[-3].split("_")[1], words[-2]
    return pod if container == "istio-proxy" else container


def judge(reading, line, flow):
    wanted = line.expected(reading.form, reading.policy)
    if reading.alone:
        # whose line it is, and what a private address is, may take another log to know; then it is left open
        wanted["role"] = OneOf(wanted["role"], "unknown")
        if "path" in wanted and wanted["bypass"] is None:
            wanted["path"] = OneOf(wanted["path"], "unknown")
    warnings = set((flow["warnings"] or "").split(",")) - {""}
    is_ambiguous = line.ambiguous and AMBIGUOUS in warnings
    measures = reading.measures
    if is_ambiguous:
        # kept, flagged, and unable to clear anything; what it says is not relied on, but how often it is right is shown
        if wanted["bypass"] is not None:
            measures["bypass, flagged"].add(flow["bypass"] == wanted["bypass"])
        return
    for column, value in wanted.items():
        if column in ("bypass", "outcome", "path"):
            continue
        if not matches(value, flow[column]):
            reading.miss(line, column, value, flow[column])
    for word in line.warnings:
        if word not in warnings:
            reading.miss(line, "warnings", word, flow["warnings"])
    if AMBIGUOUS in warnings and not line.ambiguous:
        reading.miss(line, "warnings", None, AMBIGUOUS)
    # nginx and Squid log the end, nginx's walk-through format in whole seconds
    start, end = line.span
    if not start - 1.1 <= flow["started_at_ms"] / 1000 <= end + 0.1:
        reading.miss(line, "started_at", f"{start:.3f} to {end:.3f}", flow["started_at"])

    for column, measure in (("outcome", "outcome accuracy"), ("path", "path accuracy")):
        if column in wanted:
            is_right = matches(wanted[column], flow[column])
            measures[measure].add(is_right)
            if not is_right:
                reading.miss(line, column, wanted[column], flow[column])
    if wanted.get("outcome") == "blocked":
        measures["blocked recall"].add(flow["outcome"] == "blocked")
    if flow["outcome"] == "blocked" and "outcome" in wanted:
        measures["blocked precision"].add(matches(wanted["outcome"], "blocked"))

    if line.claim is not None:
        judge_claim(reading, line, flow, warnings)
    else:
        if wanted["bypass"] is not None:
            measures["bypass recall"].add(flow["bypass"] == wanted["bypass"])
        if flow["bypass"] is not None:
            measures["bypass precision"].add(flow["bypass"] == wanted["bypass"])
        if flow["bypass"] != wanted["bypass"]:
            reading.miss(line, "bypass", wanted["bypass"], flow["bypass"])
    if line.proven and not reading.alone and UNPROVEN in warnings:
        reading.miss(line, "warnings", f"no {UNPROVEN}", flow["warnings"])


def judge_claim(reading, line, flow, warnings):
    """What only a second log proves: a bypass once hops are joined and the policy has an inventory, until then unproven."""
    is_proven = flow["bypass"] == line.claim
    is_open = flow["bypass"] is None and UNPROVEN in warnings
    must_prove = reading.joins and reading.policy
    reading.measures["claims raised"].add(is_proven or (is_open and not must_prove))
    if flow["bypass"] is not None:
        reading.measures["bypass precision"].add(is_proven)
    if not is_proven and (must_prove or not is_open):
        reading.miss(line, "bypass", line.claim if must_prove else f"{line.claim}, or none with {UNPROVEN}", flow["bypass"])


#: How near to the destination each log stands.
HOPS = {"sleep": 0, "orders": 0, "batch": 0, "gateway": 1, "sni-gateway": 1, "sni-proxy": 2, "squid": 2, "reviews": 2}


def judge_totals(reading, lines, gatewatch, database):
    """Each request counts once, at its last hop; nothing drops out of the totals."""
    result = subprocess.run(
        [gatewatch, "query", "--db", database, "--format", "ndjson", "-e",
         "select f.log, f.line, f.id in (select id from counted_flow) as counted from flows f order by f.id"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    if result.returncode != 0:
        raise RuntimeError(f"gatewatch query: exit {result.returncode}: {result.stderr.strip()}")
    rows = [json.loads(row) for row in result.stdout.splitlines()]
    counted = {(name_of(row["log"]), row["line"]): bool(row["counted"]) for row in rows}
    last = {}
    for line in lines:
        key = (line.scenario, line.journey)
        last[key] = max(last.get(key, 0), HOPS[line.log])
    for line in lines:
        path = line.expected(reading.form, reading.policy).get("path")
        # totals are about egress; and where it is open what the way was, so it is who counts it
        if path == "internal" or isinstance(path, OneOf):
            continue
        is_last = HOPS[line.log] == last[line.scenario, line.journey] and not (reading.joins and line.repeated)
        found = counted.get((line.log, line.number))
        reading.measures["counted once"].add(found == is_last)
        if found != is_last:
            reading.miss(line, "counted", is_last, found)


def judge_alert(reading, gatewatch, database):
    """Cron's view: there were bypasses, so the first run is critical, and the second one is silent."""
    for wanted in (2, 0):
        result = subprocess.run(
            [gatewatch, "alert", "--db", database], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        if result.returncode != wanted:
            reading.misses.append(f"{reading.name}: alert: expected exit {wanted}, found {result.returncode}")


def judge_joins(reading, joined):
    def pairs(key):
        groups = {}
        for number, (line, flow) in enumerate(joined):
            value = key(line, flow)
            if value is not None:
                groups.setdefault(value, []).append(number)
        return {(a, b) for group in groups.values() for a in group for b in group if a < b}

    # the same hop never stands twice in a journey of these scenes
    true = pairs(lambda line, flow: (line.scenario, line.journey))
    said = pairs(lambda line, flow: flow["journey"])
    for pair in sorted(true | said):
        line, other = joined[pair[0]][0], joined[pair[1]][0]
        if pair in true and pair not in said and (line.loose or other.loose):
            continue
        if pair in true:
            reading.measures["join recall"].add(pair in said)
        if pair in said:
            reading.measures["join precision"].add(pair in true)
        if (pair in true) != (pair in said):
            wanted = "the same" if pair in true else "another"
            reading.misses.append(
                f"{reading.name}: {line.log}.log:{line.number} ({line.scenario}): journey: expected {wanted} as "
                f"{other.log}.log:{other.number} ({other.scenario})")


def matches(wanted, found):
    if isinstance(wanted, OneOf):
        return any(matches(item, found) for item in wanted)
    return wanted == found


def write_sample(folder, name, lines, logs, scenes, configuration=None, policy=None):
    """The logs of a pass as a case of SampleLogs, with what is certain of each line."""
    os.makedirs(os.path.join(folder, name), exist_ok=True)
    for log in logs:
        with open(log, "rb") as source, open(os.path.join(folder, name, os.path.basename(log)), "wb") as target:
            target.write(source.read())
    journeys = {}
    for line in lines:
        journeys.setdefault((line.scenario, line.journey), []).append(line)
    with open(os.path.join(folder, f"{name}.flows.ndjson"), "w") as file:
        about = f"Written by real proxies in the scenes of Tests/RealProxies: {scenes}."
        file.write(json.dumps({"case": {
            "read": len(lines), "stored": len(lines), "rejected": 0, "skipped": 0, "about": about}}) + "\n")
        for line in sorted(lines, key=lambda line: (line.log, line.number)):
            row = {"log": f"{name}/{line.log}.log", "line": line.number}
            row.update({
                column: value for column, value in line.expected(name, policy).items()
                if not isinstance(value, OneOf) and not (column == "bypass" and line.claim)})
            if line.claim and policy:
                row["bypass"] = line.claim
            if not line.loose:
                is_joined = len(journeys[line.scenario, line.journey]) > 1
                row["journey"] = f"{line.scenario} {line.journey}".strip() if is_joined else None
            if line.warnings:
                row["warnings"] = ",".join(line.warnings)
            if line.proven:
                row["lacks_warnings"] = UNPROVEN
            if line.ambiguous:
                row["or_ambiguous"] = True
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    with open(os.path.join(folder, f"{name}.journeys.ndjson"), "w") as file:
        for (scenario, _), hops in journeys.items():
            if len(hops) > 1:
                file.write(json.dumps({"scenario": scenario, "hops": [f"{hop.log}.log:{hop.number}" for hop in hops]}) + "\n")
    for text, ending in ((configuration, "conf"), (policy, "policy.yaml")):
        if text:
            with open(os.path.join(folder, f"{name}.{ending}"), "w") as file:
                file.write(text if text.endswith("\n") else text + "\n")
