"""What a line must be understood as, and the record of who wrote which line when."""

import os
import time

from .envoy import FORMATS
from .network import SceneError

#: Envoy flushes every 50 ms here; Squid and nginx write at once. More is a slow machine.
LINES_WITHIN = 6
#: Lines that nobody expects would have come by then.
SETTLE = 0.2
ROLES = {
    "sleep": "sidecar", "orders": "sidecar", "batch": "sidecar", "reviews": "inbound", "gateway": "gateway",
    "sni-gateway": "gateway", "sni-proxy": "sni-proxy", "squid": "forward-proxy",
}


class OneOf(tuple):
    """Several answers are right, because the line itself does not tell them apart."""

    def __new__(cls, *values):
        return super().__new__(cls, values)


class Old:
    """The format of Istio 1.3-1.7 has no details: there another answer is right."""

    def __init__(self, old, new):
        self.old = old
        self.new = new


class Declared:
    """What a policy tells, and what can be said without one."""

    def __init__(self, policy, zero):
        self.policy = policy
        self.zero = zero


class Line:
    """One expected line; columns that are not named may have any value.

    `claim` is a bypass that only a second log or the policy's inventory proves; `proven` says that the client is accounted
    for by another log, so that calling it unproven would be a false alarm; `ambiguous` that the text can be split in more
    than one way; `loose` that several lines of one log belong to the connection, which the lines need not tell; `repeated` that it
    is an attempt whose answer is a later one, which counts once hops are joined."""

    def __init__(self, log, journey="", claim=None, proven=None, ambiguous=False, warnings=(), marker=None,
                 loose=False, repeated=False, **columns):
        self.log = log
        self.journey = journey
        self.claim = claim
        self.proven = proven
        self.ambiguous = ambiguous
        self.marker = marker
        self.loose = loose
        self.repeated = repeated
        self.warnings = list(warnings)
        self.columns = {"role": ROLES[log], "bypass": None, **columns}
        self.scenario = None
        self.number = None
        self.span = None

    def expected(self, form, policy):
        def resolved(value):
            if isinstance(value, Old):
                return value.old if form == "istio-1.3" else value.new
            if isinstance(value, Declared):
                return value.policy if policy else value.zero
            return value

        return {name: resolved(value) for name, value in self.columns.items()}


class Record:
    """Runs scenarios one after another and assigns the lines that appear to the scenario that caused them."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.lines = []
        self.invisible = []
        self.counts = {log: 0 for log in mesh.LOGS}

    def run(self, scenario):
        start = time.time()
        wanted = scenario(self.mesh)
        expected = dict(self.counts)
        for line in wanted:
            expected[line.log] += 1
            line.number, line.scenario = expected[line.log], scenario.name
        self._await(scenario, expected)
        end = time.time()
        self._place(wanted)
        for line in wanted:
            line.span = (start, end)
        if not wanted:
            self.invisible.append(scenario.name)
        self.counts = expected
        self.lines += wanted

    def _place(self, wanted):
        """Finds the lines of traffic that ran at the same time; one worker writes all formats in the same order."""
        for line in wanted:
            if line.marker is None:
                continue
            numbers = set()
            for form in FORMATS:
                texts = self._texts(form, line.log)
                found = [n for n in range(self.counts[line.log], len(texts)) if line.marker in texts[n]]
                if len(found) != 1:
                    raise SceneError(f"scenario {line.scenario}: {len(found)} lines of {line.log}.log hold {line.marker}")
                numbers.add(found[0] + 1)
            if len(numbers) != 1:
                raise SceneError(f"scenario {line.scenario}: {line.log}.log has {line.marker} in different places")
            line.number = numbers.pop()

    def _await(self, scenario, expected):
        deadline = time.monotonic() + LINES_WITHIN
        while time.monotonic() < deadline:
            if all(self._count(form, log) >= count for form in FORMATS for log, count in expected.items()):
                break
            time.sleep(0.03)
        time.sleep(SETTLE)
        for form in FORMATS:
            for log, count in expected.items():
                found = self._count(form, log)
                if found != count:
                    new = "\n  ".join(
                        f"{name}: {text}" for name in self.mesh.LOGS for text in self._texts(form, name)[self.counts[name]:])
                    raise SceneError(
                        f"scenario {scenario.name}: {log}.log ({form}) has {found - self.counts[log]} new lines instead of "
                        f"{count - self.counts[log]}; all new lines:\n  {new}")

    def _texts(self, form, log):
        with open(os.path.join(self.mesh.logs, form, f"{log}.log"), errors="replace", newline="\n") as file:
            return file.read().split("\n")[:-1]

    def _count(self, form, log):
        with open(os.path.join(self.mesh.logs, form, f"{log}.log"), "rb") as file:
            return file.read().count(b"\n")


class Scenario:
    """A function that sends traffic and says which lines it must have caused."""

    all = []

    def __init__(self, name, about, body):
        self.name = name
        self.about = about
        self.body = body

    def __call__(self, mesh):
        return self.body(mesh)


def scenario(name, about):
    def register(body):
        Scenario.all.append(Scenario(name, about, body))
        return body
    return register


def require(condition, what):
    """The proxies must behave as the scenario needs; otherwise its truth would be none."""
    if not condition:
        raise SceneError(what)
