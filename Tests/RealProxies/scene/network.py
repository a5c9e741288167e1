"""Network namespaces as pods, all on one bridge that lives in a namespace of its own: nothing touches the machine's network."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import threading
import time

from . import tools

CLONE_NEWNET = 0x40000000
#: Addresses that stand for the Internet; Gatewatch counts the documentation ranges as public.
OUTSIDE = ["203.0.113.0/24", "198.51.100.0/24"]
INSIDE6, OUTSIDE6 = "fd00:88::/64", "2001:db8::/64"
DNS = "10.88.0.53"

_libc = ctypes.CDLL(None, use_errno=True)


class SceneError(Exception):
    """The scene could not be set up or did not behave as a scenario needs; says nothing about Gatewatch."""


class Namespace:
    def __init__(self, scene, role, addresses):
        self.role = role
        self.addresses = addresses
        self.address = addresses[0]
        self.name = f"{scene}-{role}"
        self.etc = f"/etc/netns/{self.name}"

    def command(self, *words):
        return [tools.find("ip"), "netns", "exec", self.name, *words]

    def shell(self, script):
        result = tools.quietly(self.command("sh", "-ec", script), timeout=30)
        if result.returncode != 0:
            raise SceneError(f"{self.role}: {script.strip().splitlines()[0]}: {result.stdout.strip()}")

    def call(self, function, *arguments, **options):
        """Runs `function` in a thread that has entered the namespace; sockets it opens stay there for good."""
        outcome = {}

        def body():
            try:
                self.enter()
                outcome["value"] = function(*arguments, **options)
            except BaseException as error:  # handed to the caller below
                outcome["error"] = error

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        thread.join(30)
        if thread.is_alive():
            raise SceneError(f"{self.role}: {function.__name__} did not end within 30 s")
        if "error" in outcome:
            raise outcome["error"]
        return outcome["value"]

    def enter(self):
        """Moves the calling thread, and no other, into the namespace."""
        descriptor = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if _libc.setns(descriptor, CLONE_NEWNET) != 0:
                raise SceneError(f"{self.role}: setns: {os.strerror(ctypes.get_errno())}")
        finally:
            os.close(descriptor)


def _remove(name):
    # daemons that left their parent (Squid's helpers) still belong to the namespace, and nothing else does
    for pid in tools.quietly([tools.find("ip"), "netns", "pids", name]).stdout.split():
        if int(pid) != os.getpid():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
    tools.quietly([tools.find("ip"), "netns", "del", name])
    shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)


class Network:
    """Creates the namespaces, and removes what it created, whatever happened in between."""

    def __init__(self, names, six):
        self.scene = f"gatewatch{os.getpid()}"
        #: Whether the machine has IPv6; without it the scenes have none either.
        self.six = six
        self.hosts = names
        self.spaces = {}
        self.processes = []
        self._has_hub = False
        self._sweep()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def add(self, role, *addresses):
        ip = tools.find("ip")
        if not self._has_hub:
            self._run([ip, "netns", "add", f"{self.scene}-hub"])
            self._has_hub = True
            self._run([ip, "-n", f"{self.scene}-hub", "link", "add", "name", "br0", "type", "bridge"])
            self._run([ip, "-n", f"{self.scene}-hub", "link", "set", "br0", "up"])
        space = Namespace(self.scene, role, [address for address in addresses if self.six or ":" not in address])
        self._run([ip, "netns", "add", space.name])
        self.spaces[role] = space
        port = f"p{len(self.spaces)}"
        self._run([ip, "link", "add", "name", "eth0", "netns", space.name, "type", "veth", "peer", "name", port,
                   "netns", f"{self.scene}-hub"])
        self._run([ip, "-n", f"{self.scene}-hub", "link", "set", port, "master", "br0", "up"])
        # without duplicate detection an IPv6 address is usable at once
        lines = ["ip link set lo up", "ip link set eth0 up"]
        lines += [f"ip addr add {address}/{128 if ':' in address else 32} dev eth0{' nodad' if ':' in address else ''}" for address in space.addresses]
        six = next((address for address in space.addresses if ":" in address), None)
        if six:
            lines += [f"ip -6 route add {route} dev eth0 src {six}" for route in (INSIDE6, OUTSIDE6)]
        lines += [f"ip route add {route} dev eth0 src {space.address}" for route in ["10.88.0.0/24"] + OUTSIDE]
        lines += ["sysctl -qw net.ipv4.ip_unprivileged_port_start=0"]
        space.shell("\n".join(lines))
        self._write_etc(space)
        return space

    def _write_etc(self, space):
        os.makedirs(space.etc, exist_ok=True)
        entries = ["127.0.0.1 localhost"] + [f"{address} {name}" for name, address in self.hosts.items()]
        for name, text in {
            "hosts": "\n".join(entries) + "\n", "resolv.conf": f"nameserver {DNS}\noptions timeout:1 attempts:1\n",
            "nsswitch.conf": "hosts: files dns\n",
        }.items():
            with open(os.path.join(space.etc, name), "w") as file:
                file.write(text)

    def start(self, space, command, log, user=None):
        """Starts a program in a namespace; it dies with the scene."""
        if user is not None:
            command = [tools.find("setpriv"), f"--reuid={user}", f"--regid={user}", "--clear-groups"] + command
        with open(log, "ab") as output:
            process = subprocess.Popen(
                space.command(*command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        process.log = log
        self.processes.append(process)
        return process

    def await_listener(self, space, port, process, seconds=20):
        """Reads the kernel's table instead of connecting: a connection would stand in the logs."""
        deadline = time.monotonic() + seconds
        wanted = f":{port:04X}"
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            for table in ("tcp", "tcp6"):
                text = tools.quietly(space.command("cat", f"/proc/net/{table}")).stdout
                for line in text.splitlines()[1:]:
                    fields = line.split()
                    if fields[1].endswith(wanted) and fields[3] == "0A":
                        return
            time.sleep(0.1)
        with open(process.log, errors="replace") as file:
            tail = file.read()[-1500:]
        raise SceneError(f"{space.role}: nothing listens on port {port}: {tail}")

    def close(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        self.processes = []
        for space in self.spaces.values():
            _remove(space.name)
        self.spaces = {}
        if self._has_hub:
            _remove(f"{self.scene}-hub")
            self._has_hub = False
        try:
            os.rmdir("/etc/netns")
        except OSError:
            pass  # somebody else's, or never made

    def _sweep(self):
        """Removes what a run left behind that was killed before it could."""
        for line in tools.quietly([tools.find("ip"), "netns", "list"]).stdout.splitlines():
            match = re.match(r"gatewatch(\d+)-[a-z-]+$", line.split(" ")[0])
            if match and not os.path.exists(f"/proc/{match[1]}"):
                _remove(match[0])

    def _run(self, command):
        result = tools.quietly(command, timeout=30)
        if result.returncode != 0:
            raise SceneError(f"{' '.join(command)}: {result.stdout.strip()}")


#: What istio-init writes: outbound TCP to 15001, inbound to 15006, except Envoy's own.
SIDECAR_RULES = """
iptables -t nat -N ISTIO_OUTPUT
iptables -t nat -N ISTIO_REDIRECT
iptables -t nat -N ISTIO_IN_REDIRECT
iptables -t nat -A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
iptables -t nat -A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
iptables -t nat -A OUTPUT -p tcp -j ISTIO_OUTPUT
iptables -t nat -A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN
iptables -t nat -A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT
iptables -t nat -A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN
iptables -t nat -A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN
iptables -t nat -A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
"""


def capture(space, excluded=(), inbound=False):
    """The rules of istio-init; `excluded` is what the annotation excludeOutboundIPRanges leaves out."""
    rules = SIDECAR_RULES
    rules += "iptables -t nat -A ISTIO_OUTPUT -j ISTIO_REDIRECT\n"
    if any(":" in address for address in space.addresses):
        rules += rules.replace("127.0.0.6/32", "::6/128").replace("127.0.0.1/32", "::1/128").replace("iptables", "ip6tables")
    for range_ in excluded:
        rules += f"iptables -t nat -I ISTIO_OUTPUT -d {range_} -j RETURN\n"
    if inbound:
        rules += "iptables -t nat -A PREROUTING -p tcp -j ISTIO_IN_REDIRECT\n"
    space.shell(rules)
