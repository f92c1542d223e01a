"""Opens a frozen vault with nothing of Proximity's code: a second reading of the format.

Written from the description of the format alone. Argon2id comes from the package cryptography or argon2-cffi; the rest is
below.
Run: python3 tests/vectors/read_vault.py tests/vectors/vault-v2.txt WORDLIST
WORDLIST is the English list of BIP-39, one word a line; without it the recovery slot is left out.
"""

import hashlib
import hmac
import struct
import sys


def hkdf(salt, ikm, info, length=32):
    prk = hmac.new(salt, ikm, hashlib.sha256).digest()
    out, block, count = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([count]), hashlib.sha256).digest()
        out, count = out + block, count + 1
    return out[:length]


def parts(*pieces):
    return b"".join(struct.pack(">I", len(piece)) + piece for piece in pieces)


def quarter(s, a, b, c, d):
    for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = (s[x] + s[y]) & 0xFFFFFFFF
        s[z] ^= s[x]
        s[z] = (s[z] << turn | s[z] >> 32 - turn) & 0xFFFFFFFF


def rounds(state):
    s = list(state)
    for _ in range(10):
        for column in range(4):
            quarter(s, column, 4 + column, 8 + column, 12 + column)
        for d in range(4):
            quarter(s, d, 4 + (d + 1) % 4, 8 + (d + 2) % 4, 12 + (d + 3) % 4)
    return s


SIGMA = struct.unpack("<4I", b"expand 32-byte k")


def chacha_block(key, counter, nonce):
    state = [*SIGMA, *struct.unpack("<8I", key), counter, *struct.unpack("<3I", nonce)]
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(rounds(state), state)))


def hchacha(key, nonce16):
    s = rounds([*SIGMA, *struct.unpack("<8I", key), *struct.unpack("<4I", nonce16)])
    return struct.pack("<8I", *s[:4], *s[12:])


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    acc = 0
    for at in range(0, len(message), 16):
        acc = (acc + int.from_bytes(message[at : at + 16] + b"\1", "little")) * r % (2**130 - 5)
    return ((acc + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def open_sealed(key, nonce, ad, body):
    return open_chacha(hchacha(key, nonce[:16]), bytes(4) + nonce[16:], ad, body)


def open_chacha(sub, short, ad, body):
    text, tag = body[:-16], body[-16:]
    pad = lambda piece: piece + bytes(-len(piece) % 16)
    lengths = struct.pack("<QQ", len(ad), len(text))
    made = poly1305(chacha_block(sub, 0, short)[:32], pad(ad) + pad(text) + lengths)
    assert hmac.compare_digest(made, tag), "the tag does not fit"
    out = b""
    for number in range(0, len(text), 64):
        stream = chacha_block(sub, 1 + number // 64, short)
        out += bytes(a ^ b for a, b in zip(text[number : number + 64], stream))
    return out


def x25519(scalar, point):
    p, k = 2**255 - 19, int.from_bytes(scalar, "little") & (2**254 - 8) | 2**254
    u = int.from_bytes(point, "little") & (2**255 - 1)
    x2, z2, x3, z3 = 1, 0, u, 1
    for at in reversed(range(255)):
        bit = k >> at & 1
        if bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3, x2, z2 = (da + cb) ** 2 % p, u * (da - cb) ** 2 % p, aa * bb % p, e * (aa + 121665 * e) % p
        if bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, p - 2, p) % p).to_bytes(32, "little")


def open_hpke(private, ad, sealed):
    """RFC 9180, base mode, X25519 + HKDF-SHA256 + ChaCha20-Poly1305, for the first message."""
    once, body = sealed[:32], sealed[32:]
    extract = lambda suite, salt, label, ikm: hmac.new(salt, b"HPKE-v1" + suite + label + ikm, hashlib.sha256).digest()

    def expand(suite, prk, label, info, length):
        block = struct.pack(">H", length) + b"HPKE-v1" + suite + label + info + b"\1"
        return hmac.new(prk, block, hashlib.sha256).digest()[:length]

    kem, suite = b"KEM\0\x20", b"HPKE\0\x20\0\1\0\3"
    context = once + x25519(private, (9).to_bytes(32, "little"))
    shared = expand(kem, extract(kem, b"", b"eae_prk", x25519(private, once)), b"shared_secret", context, 32)
    schedule = b"\0" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", b"proximity vault key")
    secret = extract(suite, shared, b"secret", b"")
    key, nonce = expand(suite, secret, b"key", schedule, 32), expand(suite, secret, b"base_nonce", schedule, 12)
    return open_chacha(key, nonce, ad, body)


def binding(purpose, vault, table, column, row, scope, epoch, version):
    names = b"".join(struct.pack(">H", len(p)) + p for p in (table, column, row, scope))
    return b"CV1" + bytes([purpose]) + vault + struct.pack(">H", 1) + names + struct.pack(">IQ", epoch, version)


def argon2id(passphrase, salt, kib, passes, lanes, secret, ad):
    try:
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        made = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=kib, ad=ad, secret=secret)
        return made.derive(passphrase)
    except ImportError:
        pass
    from argon2.low_level import ARGON2_VERSION, Type, core, ffi

    keep = [ffi.new("uint8_t[]", data) for data in (bytes(32), passphrase, salt, secret, ad)]
    context = ffi.new(
        "argon2_context *",
        dict(
            version=ARGON2_VERSION, out=keep[0], outlen=32, pwd=keep[1], pwdlen=len(passphrase), salt=keep[2],
            saltlen=len(salt), secret=keep[3], secretlen=len(secret), ad=keep[4], adlen=len(ad), t_cost=passes,
            m_cost=kib, lanes=lanes, threads=1, allocate_cbk=ffi.NULL, free_cbk=ffi.NULL, flags=0,
        ),
    )
    assert core(context, Type.ID.value) == 0
    return bytes(ffi.buffer(keep[0], 32))


def key_of_words(words, listed):
    number = 0
    for word in words.split():
        number = number << 11 | listed.index(word)
    key = (number >> 8).to_bytes(32, "big")
    assert hashlib.sha256(key).digest()[0] == number & 0xFF, "the words do not fit together"
    return key


class Text(bytes):
    """Bytes that the database holds as text."""


def main(path, wordlist=None):
    v = {}
    for line in open(path, encoding="utf-8"):
        if " = " in line and not line.startswith("#"):
            name, value = line.rstrip("\n").split(" = ", 1)
            kind, _, rest = value.partition(" ")
            read = {"int": int, "text": lambda text: Text(text.encode()), "hex": bytes.fromhex}
            v[name] = read[kind](rest) if kind in read else None
    vault, epoch = v["meta.vault_id"], v["meta.epoch"]

    def vault_key(slot, k0):
        header = v[slot + ".header"]
        info = lambda label: parts(label, header)
        assert hkdf(vault, k0, info(b"commit")) == v[slot + ".check_value"], slot + ": check value"
        row = v[slot + ".id"]
        ad = binding(4, vault, b"slot", b"wrapped", row, bytes(16), 0, 0)
        private = open_sealed(hkdf(vault, k0, info(b"kek")), v[slot + ".nonce"], ad, v[slot + ".wrapped"])
        assert x25519(private, (9).to_bytes(32, "little")) == header[85:117], slot + ": public key"
        ad = binding(3, vault, b"slot", b"sealed_key", row, bytes(16), epoch, v[slot + ".row_version"])
        key = open_hpke(private, ad, v[slot + ".sealed_key"])
        columns = ("id", "kind", "operator", "header", "check_value", "nonce", "wrapped", "sealed_key")
        columns = [v[slot + "." + c] or b"" for c in columns]
        columns.append(struct.pack(">q", v[slot + ".row_version"]))
        mac = hkdf(vault, key, parts(b"slot", *columns))
        assert mac == v[slot + ".mac"], slot + ": mac"
        total = hashlib.blake2b(parts(*columns, mac), digest_size=32).digest()
        assert total == v[slot + ".sum"], slot + ": sum"
        return key

    header = v["slot_operator.header"]
    magic, version, kind, in_vault, slot_id, kib, passes, lanes, salt, host_id, _, length = struct.unpack(
        ">6sHB16s16sIII16s16s32sH", header[:119]
    )
    assert (magic, version, kind, in_vault) == (b"PXSLOT", 2, 1, vault)
    assert slot_id == v["slot_operator.id"] and header[119:] == v["slot_operator.operator"] and length == len(header) - 119
    assert hkdf(vault, v["host_key"], parts(b"host key id"))[:16] == host_id
    key = vault_key("slot_operator", argon2id(v["passphrase"], salt, kib, passes, lanes, v["host_key"], header))
    if wordlist:
        listed = open(wordlist, encoding="utf-8").read().split()
        assert vault_key("slot_recovery", key_of_words(v["words"].decode(), listed)) == key
    meta = parts(b"meta", struct.pack(">q", v["meta.created_ms"]), struct.pack(">I", epoch))
    assert hkdf(vault, key, meta) == v["meta.mac"], "vault_meta"

    table, column, row, scope = (v["record." + c] for c in ("table_name", "column_name", "row_id", "scope_id"))
    number = v["record.row_version"]
    scope_key = hkdf(vault, key, parts(b"scope", scope, struct.pack(">I", epoch)))
    record_key = hkdf(vault, scope_key, parts(b"rec", table, column, row, struct.pack(">Q", number)))
    ad = binding(1, vault, table, column, row, scope, epoch, number)
    assert open_sealed(record_key, v["record.nonce"], ad, v["record.body"]) == v["plain"]

    def value(data):
        kind, data = (2, struct.pack(">q", data)) if isinstance(data, int) else (4 if isinstance(data, Text) else 5, data)
        return bytes([kind]) + struct.pack(">I", len(data)) + data

    name = lambda kind, text: bytes([kind]) + struct.pack(">I", len(text)) + text
    # "number" is the number of the row; this vault has one operator.
    fields = [("number", 1), *((c[9:], data) for c, data in v.items() if c.startswith("operator.") and c != "operator.mac")]
    row = b"".join(name(0, c.encode()) + value(data) for c, data in fields if data is not None)
    assert hkdf(vault, key, parts(b"row", b"operator", struct.pack(">I", epoch), row)) == v["operator.mac"], "operator"

    rows = name(6, b"vault_meta") + value(1) + value(v["meta.mac"]) + name(6, b"slot")
    for slot in sorted(("slot_operator", "slot_recovery"), key=lambda s: v[s + ".id"]):
        rows += b"".join(value(v[slot + "." + c]) for c in ("id", "row_version", "mac"))
    columns = ("table_name", "column_name", "row_id", "scope_id", "epoch", "row_version", "nonce")
    rows += name(6, b"sealed") + b"".join(value(v["record." + c]) for c in columns) + value(v["record.body"][-16:])
    rows += name(6, b"operator") + value(1) + value(v["operator.mac"])
    total = hashlib.blake2b(parts(rows), digest_size=32).digest()
    list_mac = parts(b"manifest", struct.pack(">Q", v["manifest.generation"]), struct.pack(">I", epoch), b"", total)
    assert hkdf(vault, key, list_mac) == v["manifest.mac"], "manifest"
    print("every slot and record opens, every sum and tag agrees")


main(*sys.argv[1:])
