"""Ways to damage a model file or a saved state, by chance: a seed and a number name a case."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from stepcell.runtime.format.containers import CHECKSUM_NAME, MANIFEST_NAME
from stepcell.runtime.format.model_file import CONTAINERS, unpack

STATE_SUFFIX = ".state"
GRAPH = "graph, packed again"  # what an interpreter may crash on: someone who can pack a file can make it anything
_DEEP = 100_000
# Values that a manifest should not have in most of its places.
_NASTY: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 3, 255, 2**31 - 1, 2**31, 2**32, 2**63, 10**400, 1e-320, 1e38, 1e39, 1e308, -1e308,
    float("nan"), float("inf"), "", "0", "h0", "next_h0", "probabilities", "symbol", "../../passwd", "/dev/zero", "\0",
    "\ud800", "x" * 100_000, "initial", "ramp", "linear", "sigmoid", "softmax", [], [[]], {}, [None], [0], [1, 1],
    [2**20, 2**10], [2**31 - 1], [0.5] * 5000, list(range(2000)), {"name": "h0"}, {"kind": "label"},
)  # fmt: skip


def flips(content: bytes, dice: random.Random) -> bytes:
    """Turn a few bits over."""
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 1, 2, 8, 100))):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def truncation(content: bytes, dice: random.Random) -> bytes:
    """Cut the end off, or the beginning."""
    place = dice.choice((dice.randrange(len(content)), dice.randrange(min(64, len(content))), len(content) - 1))
    return content[place:] if dice.random() < 0.2 else content[:place]


def block(content: bytes, dice: random.Random) -> bytes:
    """Overwrite a block, with zeros or anything."""
    start, size = dice.randrange(len(content)), dice.choice((1, 4, 16, 512, 4096))
    filler = bytes(size) if dice.random() < 0.5 else dice.randbytes(size)
    return (content[:start] + filler + content[start + size :])[: len(content)]


def moved(content: bytes, dice: random.Random) -> bytes:
    """Insert a part of it somewhere else, or leave one out."""
    start, place, size = dice.randrange(len(content)), dice.randrange(len(content)), dice.randrange(1, 2000)
    if dice.random() < 0.5:
        return content[:start] + content[start + size :]
    return content[:place] + content[start : start + size] + content[place:]


PLAIN: tuple[Callable[[bytes, random.Random], bytes], ...] = (flips, truncation, block, moved)


def damaged(files: Mapping[str, bytes], name: str, dice: random.Random) -> tuple[bytes, str]:
    """Return the file `name` of the valid `files`, damaged in one way, and what that was."""
    content = files[name]
    if name.endswith(STATE_SUFFIX):
        ways: tuple[Callable[..., tuple[bytes, str]], ...] = (_plainly, _state_sealed_again)
        return dice.choice(ways)(content, dice)
    if dice.random() < 0.3:
        return _plainly(content, dice)
    file = unpack(content, name)
    manifest = file.manifest.to_json()
    others = [other for other in files if not other.endswith(STATE_SUFFIX)]
    other = unpack(files[dice.choice(others)], "other")
    kind = dice.choice(("lies", "lies", "lies", "lies", "spliced", "text", "zip", "large", GRAPH, GRAPH))
    if kind == "spliced":
        what = other.manifest.to_json()
        if dice.random() < 0.5:  # with the fingerprint made right
            what["fingerprint"] = sha256(file.payload).hexdigest()
        return _sealed(file.payload, json.dumps(what).encode(), file.format), kind
    if kind == "lies":
        for _ in range(dice.choice((1, 1, 2, 5))):
            manifest = _with_a_lie(manifest, other.manifest.to_json(), dice)
        return _sealed(file.payload, json.dumps(manifest).encode(errors="replace"), file.format), kind
    if kind == "text":
        return _sealed(file.payload, _strange_text(manifest, dice), file.format), kind
    if kind == "large":
        return _sealed(file.payload, json.dumps(_enlarged(manifest, dice)).encode(), file.format), kind
    if kind == "zip":
        return file.payload + _strange_archive(json.dumps(manifest).encode(), dice), kind
    payload = dice.choice(PLAIN)(file.payload, dice)
    manifest["fingerprint"] = sha256(payload).hexdigest()
    return _sealed(payload, json.dumps(manifest).encode(), file.format), GRAPH


def _plainly(content: bytes, dice: random.Random) -> tuple[bytes, str]:
    way = dice.choice(PLAIN)
    return way(content, dice), way.__name__


def _state_sealed_again(content: bytes, dice: random.Random) -> tuple[bytes, str]:
    body = bytearray(content[:-32])
    for _ in range(dice.choice((1, 2, 5))):
        place = dice.randrange(8, len(body))
        new = dice.choice((b"\xff" * 4, b"\0" * 8, struct.pack("<I", 2**31 - 1), struct.pack("<f", float("nan")), b"{"))
        body[place : place + len(new)] = new
    body = bytearray(dice.choice(PLAIN)(bytes(body), dice)) if dice.random() < 0.3 else body
    return bytes(body) + sha256(body).digest(), "state, packed again"


def _sealed(payload: bytes, manifest: bytes, format: str) -> bytes:
    return CONTAINERS[format].append_manifest(payload, manifest, sha256(manifest).hexdigest().encode())


def _with_a_lie(manifest: Any, other: Any, dice: random.Random) -> Any:
    """Change one place of a JSON value: another value, one from another manifest, nothing, or one more of the same."""
    changed = json.loads(json.dumps(manifest))
    places = list(_places(changed))
    holder, key = dice.choice(places)
    way = dice.random()
    if way < 0.45:
        holder[key] = dice.choice(_NASTY)
    elif way < 0.6:
        there, same = dice.choice(list(_places(other)))
        holder[key] = there[same]
    elif way < 0.75:
        del holder[key]
    elif way < 0.85 and isinstance(holder[key], list) and holder[key]:
        dice.choice((holder[key].reverse, lambda: holder[key].append(holder[key][0]), holder[key].pop))()
    elif isinstance(holder[key], (int, float)):
        holder[key] = dice.choice((holder[key] + 1, holder[key] - 1, -holder[key], holder[key] * 2, holder[key] * 1000))
    else:
        elsewhere, same = dice.choice(places)
        holder[key] = json.loads(json.dumps(elsewhere[same])) if same in elsewhere or isinstance(same, int) else None
    return changed


def _places(value: Any) -> Any:
    """Yield (holder, key) of every value inside of `value`; of long lists the first few, or they would be all."""
    entries = list(value.items()) if isinstance(value, dict) else list(enumerate(value[:6]))
    for key, inner in entries:
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from _places(inner)


def _strange_text(manifest: Any, dice: random.Random) -> bytes:
    """Return text that a JSON reader may stumble over."""
    text = json.dumps(manifest).encode()
    nested = {"list": b"[" * _DEEP + b"]" * _DEEP, "object": b'{"a":' * _DEEP + b"1" + b"}" * _DEEP}
    deep = nested[dice.choice(list(nested))]
    return dice.choice(
        (
            b"", b"null", b"[]", b"1", b'"x"', b"\xff\xfe" + text, b"\xef\xbb\xbf" + text, text[:-1], text + b"}", deep,
            text[:-1] + b',"training":' + deep + b"}", text[:-1] + b',"format":' + b"9" * 5000 + b"}",
            text[:-1] + b',"vocabulary":{"symbols":["\xc3"]}}', text.decode().encode("utf-16"),
            text[:-1] + b',"cells":[{"kind":"lstm","units":1' + b"0" * 4200 + b',"activation":"tanh"}]}',
        )
    )  # fmt: skip


def _enlarged(manifest: Any, dice: random.Random) -> Any:
    """Return the manifest with something in it that would fill the memory or the day."""
    changed = json.loads(json.dumps(manifest))
    way = dice.randrange(6)
    if way == 0:
        changed["vocabulary"]["symbols"] = [str(number) for number in range(200_000)]
    elif way == 1:
        changed["state"][0]["shape"] = dice.choice(([2**30], [2**15, 2**15], [1] * 60, [2**31 - 1], [46340, 46340]))
    elif way == 2:
        changed["state"] = [{**changed["state"][0], "name": f"h{n}", "next": f"next_h{n}"} for n in range(20_000)]
    elif way == 3 and changed["golden"]:
        changed["golden"]["runs"] = changed["golden"]["runs"] * 2000
    elif way == 4:
        size = 2**30
        changed["features"] = [{"name": "huge", "shape": [size], "dtype": "float32", "ids": None}]
        changed["outputs"] = [{"name": "huger", "size": size, "activation": "linear", "labels": None}]
        changed["format"] = 3
        if changed["golden"]:
            changed["golden"]["runs"] = []
    else:
        symbols = [str(number) for number in range(3000)]
        changed["target"] = {"kind": "label", "vocabulary": {"symbols": symbols, "unknown": None}}
    return changed


def _strange_archive(manifest: bytes, dice: random.Random) -> bytes:
    """Return a zip archive that holds the manifest, and something else or in another way."""
    file = io.BytesIO()
    checksum = sha256(manifest).hexdigest().encode()
    way = dice.randrange(8)
    method = zipfile.ZIP_DEFLATED if way < 2 else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", method) as archive:
        # A bomb: 30 MB of spaces before the manifest, compressed to 30 KB.
        archive.writestr(MANIFEST_NAME, b" " * (30 * 2**20) + manifest if way == 0 else manifest)
        archive.writestr(CHECKSUM_NAME, checksum)
        names = {2: "../../../tmp/evil", 3: "/etc/cron.d/evil", 4: "C:\\evil", 5: "a\0b", 6: "x" * 60_000}
        if way in names:
            archive.writestr(names[way], b"evil")
        if way == 7:
            archive.comment = b"x" * 65_535
    content = bytearray(file.getvalue())
    if dice.random() < 0.5:  # sizes and offsets of the directory
        directory = content.find(b"PK\x01\x02")
        place = directory + dice.choice((8, 10, 16, 20, 24, 28, 30, 32, 42))
        content[place : place + 4] = dice.choice((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4)))
    return bytes(content)
