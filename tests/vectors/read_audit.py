"""Reads and makes a frozen audit log with nothing of Proximity's code: a second reading of the format.

Written from the description of the format alone (domain/audit/bytes.rs, store/audit/mod.rs).
Run: python3 tests/vectors/read_audit.py tests/vectors/audit-v1.txt          says ok, or what is wrong
     python3 tests/vectors/read_audit.py --make > audit-vN.txt              the ten entries below
"""

import hashlib
import hmac
import struct
import sys

MINUTES_15 = 15 * 60 * 1000
ENDINGS = ["", "ok", "warned", "failed", "cancelled", "unknown"]


def hkdf(salt, ikm, label):
    info = struct.pack(">I", len(label)) + label
    prk = hmac.new(salt, ikm, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()


def link(last, entry):
    return hashlib.blake2b(last + entry, digest_size=32).digest()


def seal(key, log, linked):
    return hashlib.blake2b(linked, digest_size=32, key=hkdf(log, key, b"audit seal")).digest()


def maybe(value, form):
    return b"\0" if value is None else b"\1" + (value if form is None else struct.pack(form, value))


def text(value):
    return b"\xff\xff" if value is None else struct.pack(">H", len(value.encode())) + value.encode()


def encode(e):
    kind, of, ending = e["phase"]
    out = b"PXA\1" + struct.pack(">QIqQBQB", e["seq"], e["epoch"], e["at"], e["up"], kind, of, ENDINGS.index(ending))
    out += bytes([e.get("refused", 0)])
    out += maybe(e.get("exit"), ">i") + maybe(e.get("job"), ">q") + maybe(e.get("argv"), None) + maybe(e.get("uid"), ">I")
    for name in ["boot", "operator", "role", "mode", "action", "object", "title"]:
        out += text(e[name])
    for name in ["sudo", "ssh", "tty", "key", "before", "after", "undo"]:
        out += text(e.get(name))
    return out


class Pace:
    """Epoch, its first time and how many entries it has."""

    def __init__(self):
        self.epoch, self.began, self.count = 0, 0, 0

    def step(self, at):
        if self.count >= 256 or (self.count and abs(at - self.began) >= MINUTES_15):
            self.epoch, self.count = self.epoch + 1, 0
        if not self.count:
            self.began = at
        self.count += 1


def make():
    log, key = bytes(range(16)), bytes(range(100, 132))
    start = 1795271520000
    base = {"boot": "5f2f6b1e-8f0d-4c44-9ef4-2f6d5e6f7a81", "operator": "ada", "role": "admin", "mode": "command"}
    ssh = {"uid": 1000, "sudo": "ada", "ssh": "10.1.2.3", "tty": "/dev/pts/3", "key": "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"}
    backup = {"action": "job.backup", "object": "guest 101", "title": "back up 101 web to local", "job": 17, "undo": "job 17", "argv": bytes([7] * 32)}
    unlock = {"action": "vault.unlock", "object": "vault", "title": "open the vault"}
    minute = 60000
    story = [
        (0, {**base, **ssh, **unlock, "phase": (2, 0, "ok")}),
        (1, {**base, **ssh, **backup, "phase": (0, 0, "")}),
        (14, {**base, **backup, "mode": "worker", "phase": (1, 2, "ok"), "after": "archive written"}),
        (15, {**base, **unlock, "operator": "(unknown)", "role": "", "phase": (2, 0, "failed"), "refused": 1}),
        (16, {**base, **ssh, "action": "guest.exec", "object": "guest 101", "title": "run a command in 101 web", "phase": (0, 0, "")}),
        (17, {**base, **ssh, "action": "guest.exec", "object": "guest 101", "title": "run a command in 101 web", "phase": (1, 5, "failed"), "exit": -1}),
        (300, {**base, "mode": "console", "action": "settings.save", "object": "network.subnet", "title": "Grüße → 漢字", "before": "10.20.0.0/24", "after": "", "phase": (2, 0, "warned")}),
        (-5256000, {**base, **backup, "phase": (0, 0, "")}),
        (-5255999, {**base, **backup, "phase": (1, 8, "unknown"), "after": "interrupted"}),
        (400, {**base, "action": "console.exit", "object": "console", "title": "leave the console", "phase": (2, 0, "cancelled")}),
    ]
    print("log_id = " + log.hex())
    print("first_key = " + key.hex())
    last, pace = link(bytes(32), b"proximity audit" + log), Pace()
    for seq, (at, entry) in enumerate(story, 1):
        before = pace.epoch
        pace.step(start + at * minute)
        if pace.epoch != before:
            key = hkdf(log, key, b"audit next")
        frozen = encode({**entry, "seq": seq, "epoch": pace.epoch, "at": start + at * minute, "up": seq * 1000})
        last = link(last, frozen)
        print(f"entry.{seq} = {frozen.hex()}\nhash.{seq} = {last.hex()}\nmac.{seq} = {seal(key, log, last).hex()}")
    print(f"key = {key.hex()}\nepoch = {pace.epoch}\nbegan_ms = {pace.began}\ncount = {pace.count}")


def check(path):
    with open(path) as lines:
        frozen = dict(line.strip().split(" = ", 1) for line in lines)
    log, key = bytes.fromhex(frozen["log_id"]), bytes.fromhex(frozen["first_key"])
    last, pace, seq = link(bytes(32), b"proximity audit" + log), Pace(), 0
    while f"entry.{seq + 1}" in frozen:
        seq += 1
        entry, kept, mac = (bytes.fromhex(frozen[f"{name}.{seq}"]) for name in ("entry", "hash", "mac"))
        number, epoch, at = struct.unpack_from(">QIq", entry, 4)
        before = pace.epoch
        pace.step(at)
        if pace.epoch != before:
            key = hkdf(log, key, b"audit next")
        last = link(last, entry)
        good = entry[:4] == b"PXA\1" and (number, epoch, kept, mac) == (seq, pace.epoch, last, seal(key, log, last))
        assert good, f"entry {seq} is not as it was written"
    assert frozen["key"] == key.hex() and int(frozen["epoch"]) == pace.epoch
    print(f"ok: {seq} entries, {pace.epoch + 1} epochs")


if __name__ == "__main__":
    make() if sys.argv[1] == "--make" else check(sys.argv[1])
