# SPDX-License-Identifier: Apache-2.0
# A client that this project did not write: strongSwan's module `vici` for Python, each of its commands and each event
# once, toward the daemon at SOCKET, whose peer is ready for connection `py` (test_vici_python.c). A command that the
# module has and that is not called here is a failure, and so is one that answers otherwise than is said here.
# usage: vici_python.py SOCKET FOLDER LOCAL REMOTE MOVED
import socket
import subprocess
import sys
import threading
import time

import vici
from vici.exception import CommandException, EventUnknownException, SessionException

PATH, FOLDER, LOCAL, REMOTE, MOVED = sys.argv[1:]
EVENTS = ["log", "ike-updown", "ike-rekey", "ike-update", "child-updown", "child-rekey", "alert"]
PATIENCE = 30


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(PATH)
    return vici.Session(s)


class Noted:
    """A session that remembers which of its commands were called."""

    def __init__(self):
        self.session, self.called = connect(), set()

    def __getattr__(self, name):
        self.called.add(name)
        return getattr(self.session, name)


class Heard(threading.Thread):
    """Events, on a connection of their own, as they come."""

    def __init__(self):
        super().__init__(daemon=True)
        self.events, self.changed = [], threading.Condition()
        self.session = connect()

    def run(self):
        for name, event in self.session.listen(EVENTS):
            with self.changed:
                self.events.append((name.decode(), event))
                self.changed.notify_all()

    def wait(self, name, fits=lambda e: True):
        with self.changed:
            found = lambda: next((e for n, e in self.events if n == name and fits(e)), None)
            if not self.changed.wait_for(lambda: found() is not None, PATIENCE):
                sys.exit(f"no event {name} within {PATIENCE} s; there were {[n for n, e in self.events if n != 'log']}")
            return found()


def check(what, ok, seen):
    if not ok:
        sys.exit(f"{what}: {seen}")


def refused(what, call, words):
    try:
        call()
    except CommandException as e:
        check(what, words in str(e), f"expected '{words}', got '{e}'")
    else:
        sys.exit(f"{what}: expected a refusal, '{words}'")


def logs(stream):
    return [line["msg"].decode() for line in stream]


def one(stream, name):
    found = [e[name] for e in stream if name in e]
    check(f"listing {name}", len(found) == 1, found)
    return found[0]


def run(*command):
    return subprocess.run(command, check=True, capture_output=True).stdout


def about_the_daemon(s):
    check("version", s.version()["daemon"] == b"espalierd", s.version())
    check("stats", int(s.stats()["ikesas"]["total"]) == 0, s.stats())
    s.reload_settings()
    check("get-algorithms", b"openssl" in s.get_algorithms()["aead"]["AES_GCM_16"].lower(), s.get_algorithms())
    s.reset_counters({"all": "yes"})
    check("get-counters", "counters" in s.get_counters(), s.get_counters())


def credentials(s):
    s.clear_creds()  # what the test's own file has brought
    s.unload_conn({"name": "site"})
    key, cert = f"{FOLDER}/py.key", f"{FOLDER}/py.crt"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=py",
        "-days", "2", "-keyout", key, "-out", cert)
    pem, der = open(cert).read(), run("openssl", "pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", key)
    s.load_cert({"type": "X509", "flag": "CA", "data": pem})
    keyid = s.load_key({"type": "any", "data": der})["id"].decode()
    check("get-keys", [k.decode() for k in s.get_keys()["keys"]] == [keyid], s.get_keys())
    listed = [c for c in s.list_certs({"type": "X509", "flag": "CA"})]
    check("list-certs", len(listed) == 1 and listed[0]["has_privkey"] == b"yes", listed)
    s.load_authority({"ca": {"cacert": pem, "crl_uris": ["http://192.0.2.1/py.crl"]}})
    check("get-authorities", s.get_authorities()["authorities"] == [b"ca"], s.get_authorities())
    check("list-authorities", one(s.list_authorities({}), "ca")["cacert"] == b"CN=py", "its subject")
    s.unload_authority({"name": "ca"})
    s.unload_key({"id": keyid})
    s.flush_certs({"type": "X509"})
    s.load_shared({"id": "other", "type": "IKE", "data": b"\x00\xff any octets", "owners": ["nobody.example"]})
    check("get-shared", sorted(s.get_shared()["keys"]) == [b"other"], s.get_shared())
    s.unload_shared({"id": "other"})
    refused("load-token", lambda: s.load_token({"handle": "01", "pin": "1234"}), "token")
    s.clear_creds()
    s.load_shared({"id": "psk", "type": "IKE", "data": "a secret of both ends", "owners": ["west.example", "east.example"]})


def pools(s):
    s.load_pool({"pool": {"addrs": "10.77.0.0/28", "dns": ["10.77.0.1"]}})
    check("get-pools", s.get_pools({"leases": "yes"})["pool"]["base"] == b"10.77.0.0", s.get_pools())
    s.unload_pool({"name": "pool"})


def connection(child):
    children = {"net": {"local_ts": ["10.1.0.0/16"], "remote_ts": ["10.2.0.0/16"], "esp_proposals": ["aes256gcm16"]},
                "other": {"local_ts": ["10.1.0.0/16"], "remote_ts": ["10.99.0.0/16"], "esp_proposals": ["aes256gcm16"]}}
    return {"py": {"version": "2", "remote_addrs": [REMOTE], "proposals": ["aes256gcm16-prfsha384-x25519"],
                   "local": {"auth": "psk", "id": "west.example"}, "remote": {"auth": "psk", "id": "east.example"},
                   "children": {c: children[c] for c in child}}}


def connections(s):
    s.load_conn(connection(["net", "other"]))
    check("get-conns", b"py" in s.get_conns()["conns"], s.get_conns())
    listed = one(s.list_conns({"ike": "py"}), "py")
    check("list-conns", listed["children"]["net"]["mode"] == b"TUNNEL", listed)
    refused("load-conn", lambda: s.load_conn({"bad": {"frobnicate": "1"}}), "frobnicate")
    s.install({"child": "net", "ike": "py"})
    traps = {name: p for e in s.list_policies({"trap": "yes"}) for name, p in e.items()}
    check("list-policies", traps["py/net"]["trap"] == b"yes" and traps["py/other"]["trap"] == b"no", traps)
    s.uninstall({"child": "net"})
    refused("uninstall", lambda: s.uninstall({"child": "net"}), "not found")


def sas(s, heard):
    lines = logs(s.initiate({"child": "net", "ike": "py", "timeout": "20000", "loglevel": "1"}))
    check("control-log", any("CHILD_SA net" in line and "established" in line for line in lines), lines)
    heard.wait("ike-updown", lambda e: e.get("up") == b"yes" and "py" in e)
    heard.wait("child-updown", lambda e: e.get("up") == b"yes" and "py" in e)
    sa = one(s.list_sas({"ike": "py"}), "py")
    child = next(iter(sa["child-sas"].values()))
    check("list-sas", sa["state"] == b"ESTABLISHED" and child["state"] == b"INSTALLED", sa)
    # the peer has no such child: a refusal by it, and an alert
    refused("initiate", lambda: logs(s.initiate({"child": "other", "timeout": "20000"})), "TS_UNACCEPTABLE")
    heard.wait("alert", lambda e: e["type"] == b"ts-mismatch" and "py" in e["ike-sa"])
    check("rekey", s.rekey({"child": "net"})["matches"] == b"1", "one CHILD SA")
    old = heard.wait("child-rekey")["py"]["child-sas"]["net"]
    check("child-rekey", old["old"]["spi-in"] == child["spi-in"] != old["new"]["spi-in"], old)
    check("rekey", s.rekey({"ike": "py"})["matches"] == b"1", "one IKE SA")
    both = heard.wait("ike-rekey")["py"]
    check("ike-rekey", both["old"]["initiator-spi"] == sa["initiator-spi"] != both["new"]["initiator-spi"], both)
    refused("redirect", lambda: s.redirect({"ike": "nobody", "gateway": "192.0.2.9"}), "no matching SAs")
    run("ip", "addr", "add", MOVED + "/24", "dev", "outer")
    run("ip", "addr", "del", LOCAL + "/24", "dev", "outer")
    moved = heard.wait("ike-update", lambda e: "py" in e)
    check("ike-update", moved["local-host"] == MOVED.encode() and moved["py"]["local-host"] == LOCAL.encode(), moved)
    logs(s.terminate({"ike": "py", "timeout": "20000"}))
    heard.wait("child-updown", lambda e: "up" not in e)
    heard.wait("ike-updown", lambda e: "up" not in e)
    heard.wait("log", lambda e: b"deleting IKE_SA" in e["msg"])
    s.unload_conn({"name": "py"})


def strangers(s):
    try:
        connect().request("frobnicate")
    except SessionException:
        pass
    else:
        sys.exit("a command that there is not: expected CMD_UNKNOWN")
    try:
        next(iter(connect().listen(["frobnicate"])))
    except EventUnknownException:
        pass
    s.version()


def main():
    s, heard = Noted(), Heard()
    heard.start()
    about_the_daemon(s)
    credentials(s)
    pools(s)
    connections(s)
    sas(s, heard)
    strangers(s)
    commands = {n for n in dir(vici.command_wrappers.CommandWrappers) if not n.startswith("_")}
    check("commands of the module that were not called", commands <= s.called, sorted(commands - s.called))
    print(f"{len(commands)} commands, {len({n for n, e in heard.events})} kinds of events")


main()
