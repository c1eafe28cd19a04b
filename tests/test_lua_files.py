"""The Lua files: each is used, its header says what its body takes, and it keeps the rules of scripts.

A file with a KEYS block is a script. One without is a fragment, which scripts of its room have in front of them.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from aioredis_patterns._core.lua import KNOWN
from tests.support.source import LUA, PACKAGE, at, module_of, nodes, report

LASTING = {
    "cache_expire": "SETRANGE changes some bytes of an entry that is there, and leaves its expiry",
    "leader_release": "SETRANGE changes some bytes of an entry that is there, and leaves its expiry",
    "quota_renew": "ZADD XX changes a member of a set that is there, and leaves its expiry",
    "write_behind_claim": "what the store has not been told yet must not be lost",
    "write_behind_failed": "what the store has not been told yet must not be lost",
    "write_behind_put": "what the store has not been told yet must not be lost",
    "write_behind_renew": "what the store has not been told yet must not be lost",
    "write_behind_done": "what the store has not been told yet must not be lost",
    "write_behind_replay": "what the store has not been told yet must not be lost",
    "semaphore_resize": "a setting lasts until it is set again",
    "message": "a message is kept until it is acknowledged, dropped, or past the ttl that its sender gave it",
    "again": "a message is kept until it is acknowledged, dropped, or past the ttl that its sender gave it",
    "overdue": "a message is kept until it is acknowledged, dropped, or past the ttl that its sender gave it",
    "queue_claim": "a message is kept until it is acknowledged, dropped, or past the ttl that its sender gave it",
    "queue_hand_back": "a message is kept until it is acknowledged, dropped, or past the ttl that its sender gave it",
    "queue_nack": "a message is kept until it is acknowledged, dropped, or past the ttl that its sender gave it",
    "queue_put": "a message is kept until it is acknowledged, dropped, or past the ttl that its sender gave it",
    "ready": "a message is kept until it is acknowledged, dropped, or past the ttl that its sender gave it",
    "dead_replay": "a message is kept until it is acknowledged, dropped, or past the ttl that its sender gave it",
    "hold": "a message is kept until it is acknowledged, dropped, or past the ttl that its sender gave it",
    "queue_extend": "ZADD XX changes a member of a set that is there",
    "ends_leave": "a stack and a deque keep their items until they are popped",
    "ends_move": "a stack and a deque keep their items until they are popped",
    "ends_push": "a stack and a deque keep their items until they are popped",
    "fragment_writing": "a board keeps its members until they are removed; that of a period expires as a whole",
    "fragment_putting": "a board keeps its members until they are removed; that of a period expires as a whole",
    "counter_add": "INCRBY leaves the expiry of a counter that is there; without a ttl it was told to last",
    "tag_index_add": "an index keeps its items until they are removed",
    "social_graph_follow": "a graph keeps its people until they are not followed any more",
    "log_append": "a log keeps its entries until it is trimmed; one with an age expires",
    "pending": "dead letters stay until they are replayed or dropped; every caller of let_go sets the expiry",
    "feed_enter": "who follows whom lasts until it is ended",
    "feed_follow": "who follows whom lasts until it is ended",
    "session_save": "a change of fields leaves the expiry of a session that is there",
    "record_update": "a change of fields leaves the expiry of a record that is there",
    "record_increment": "a change of a field leaves the expiry of a record that is there",
    "record_exchange": "a change of fields leaves the expiry of a record that is there",
    "feature_flags_write": "flags and the log of their changes last; the log keeps the last of them",
    "feature_flags_grant": "a grant lasts as long as its flag; the log of changes keeps the last of them",
    "take": "INCR leaves the expiry of a counter that is there, and one that was not is then SET with its own",
    "sliding_log_cancel": "the log that is left has the expiry of a hit that was later than all of its own",
}
"""Files in which a key may be written without an expiry, each with its reason."""

VARIABLE = {
    "group_commit": "a handler's own commands, whose keys came in through KEYS",
    "transaction_commit": "a handler's own commands, whose keys came in through KEYS",
}
"""Files that call a command which they do not name, each with its reason."""

SENTENCE = re.compile(r"-- [A-Z](?:(?!\. ).)*\.\n")
HEADER = re.compile(
    r"-- [A-Z].*\.\n(?:--\n)?"
    r"-- KEYS\n(?P<KEYS>(?:--   \S.*\n)+)"
    r"(?:-- ARGV\n(?P<ARGV>(?:--   \S.*\n)+))?"
    r"-- Returns\n(?:--   \S.*\n)+(?!--)"
)
ENTRY = re.compile(r"--   (\d+)  ?(\w+) +\S.*")  # its number, its name, its type or unit
UNLISTED = re.compile(r"--   (?:none|any number of .*|for each .*|\d+\.\. \w+ +\S.*)")
LOCALS = re.compile(r"^local ([\w, ]+) = (.*\b(?:KEYS|ARGV)\[\d.*)$", re.MULTILINE)
ITEM = re.compile(r"\b(KEYS|ARGV)\[(\d+)\]")

BEFORE_THE_KEY = r"'(?:CREATE|DELCONSUMER|GROUPS|CONSUMERS)', *|'GROUP',[^()]*'STREAMS', *"
CALL = re.compile(rf"redis\.p?call\('([A-Z]+)'(?:, *(?:{BEFORE_THE_KEY})?([^,()]+))?")
INPUTS = re.compile(r"\bfunction \w*\(([^)]*)\)|\bfor \w+, (\w+) in ipairs\(KEYS\)")  # what a name may come from
KEYLESS = {"INFO", "PUBLISH", "TIME"}
CREATING = {
    *("APPEND", "BITFIELD", "COPY", "DECR", "DECRBY", "HINCRBY", "HINCRBYFLOAT", "HSET", "HSETNX", "INCR", "INCRBY"),
    *("INCRBYFLOAT", "LMOVE", "LPUSH", "PFADD", "PFMERGE", "RENAME", "RPUSH", "SADD", "SET", "SETBIT", "SETRANGE"),
    *("SMOVE", "XADD", "ZADD", "ZINCRBY", "ZRANGESTORE", "ZUNIONSTORE"),
}
EXPIRING = re.compile(r"'(?:PX|PXAT|KEEPTTL)'")  # in the command that writes
FORBIDDEN = re.compile(
    r"tostring\(|\bcmsgpack\.|\bstruct\.|\bos\.|^#!|'(?:KEYS|SCAN|RANDOMKEY|FLUSHALL|FLUSHDB)'", re.MULTILINE
)


def test_every_script_is_named_by_one_module() -> None:
    """A script is the business of one module of its room, and every script that a module names is there."""
    named = [path for _, path, _ in calls()]
    found = [f"{at(path)} in {named.count(path)} modules" for path in SCRIPTS if named.count(path) != 1]
    found += [f"{at(module, line)} names no file" for (module, line), path, _ in calls() if path not in LUA]
    report("scripts that are not named by exactly one module", found)


def test_every_fragment_is_part_of_a_script() -> None:
    """No fragment is left over, and none takes anything but the arguments of its functions."""
    sources = "".join(map(assembled, SCRIPTS))
    found = [f"{at(path)} in no script" for path in FRAGMENTS if code(path) not in sources]
    found += [f"{at(path)} takes KEYS or ARGV" for path in FRAGMENTS if re.search(r"KEYS\b|ARGV\b", code(path))]
    report("fragments that are none", found)


def test_headers_have_one_form() -> None:
    """Each file begins with one sentence in one line; in a script KEYS, ARGV and Returns follow, in this order."""
    found = [f"{at(path)} sentence" for path in LUA if not SENTENCE.match(path.read_text())]
    found += [f"{at(path)} blocks" for path in SCRIPTS if not HEADER.match(path.read_text())]
    report("headers of another form", found)


def test_headers_name_what_bodies_take() -> None:
    """Keys and arguments have the names that the header lists, in its order, and each is read once, at the top."""
    pairs = [(path, declared(path), taken(path)) for path in SCRIPTS]
    report("headers unlike their bodies", [f"{at(path)}\n  {one}\n  {two}" for path, one, two in pairs if one != two])


def test_scripts_are_called_with_the_keys_they_declare() -> None:
    """The number of keys that a module passes is the number that the header lists."""
    found = []
    for (module, line), path, keys in calls():
        listed = [item for item in declared(path) if item[0] == "KEYS"] if path in SCRIPTS else []
        if listed and len(listed) != keys:
            found.append(f"{at(module, line)} passes {keys} keys, {path.name} lists {len(listed)}")
    report("scripts called with other keys", found)


def test_only_declared_keys_are_touched() -> None:
    """What a command takes for its key came in through KEYS, so that a cluster can tell where the script may run."""
    found = []
    for path in LUA:
        names = {name for kind, _, name in declared(path) if kind == "KEYS"} if path in SCRIPTS else set()
        names |= {name for match in INPUTS.findall(code(path)) for part in match for name in part.split(", ")}
        commands = CALL.findall(code(path))
        found += [f"{at(path)} {command} {key}" for command, key in commands if not allowed(command, key, names)]
        hidden = len(re.findall("redis.p?call", code(path))) != len(commands) and path.stem not in VARIABLE
        found += [f"{at(path)} hides a command"] if hidden else []
    report("keys that were not declared", found)


def test_writes_set_an_expiry() -> None:
    """Whatever can make a key, or drop its expiry, sets one in the same command or with a PEXPIRE in the same file."""
    found = [f"{name} has its reason, but no file" for name in LASTING.keys() - {path.stem for path in LUA}]
    for path in LUA:
        writes = [call for call in re.split(r"redis\.p?call\('", code(path))[1:] if call.split("'")[0] in CREATING]
        bare = [call for call in writes if not EXPIRING.search(call)]
        if bare and path.stem not in LASTING and "'PEXPIRE" not in code(path):
            found.append(f"{at(path)} {bare[0].splitlines()[0]}")
    report("writes without an expiry", found)


def test_scripts_ask_the_time_once() -> None:
    """Everything that one script decides, it decides at one time: one place in it and its fragments calls TIME."""
    asks = [(path, assembled(path).count("'TIME'")) for path in SCRIPTS]
    report("scripts that ask more than once", [f"{at(path)} in {count} places" for path, count in asks if count > 1])


def test_scripts_use_what_every_server_has() -> None:
    """Nothing depends on a library that some servers lack, loses digits of a number, or walks over all keys."""
    found = [f"{at(path)} {match[0]}" for path in LUA for match in FORBIDDEN.finditer(code(path))]
    report("what scripts may not use", found)


async def test_a_server_compiles_every_script(pipelined: Redis) -> None:
    """Each script, with its fragments, is accepted by a real server."""
    found = []
    for path in SCRIPTS:
        try:
            await pipelined.script_load(assembled(path))
        except ResponseError as error:
            found.append(f"{at(path)} {error}")
    report("scripts that do not compile", found)


SCRIPTS = [path for path in LUA if "\n-- KEYS\n" in path.read_text()]
FRAGMENTS = [path for path in LUA if path not in SCRIPTS]


def code(path: Path) -> str:
    """The file without its comments."""
    return re.sub(r"^ *--.*\n", "", path.read_text(), flags=re.MULTILINE)


@cache
def calls() -> tuple[tuple[tuple[Path, int], Path, int], ...]:
    """Every `Script(__package__, "name", keys=1)` of the package: where it stands, its file, its number of keys."""
    found = []
    for module, call in nodes(PACKAGE, ast.Call):
        if ast.unparse(call.func) == "Script":
            keys = [int(ast.unparse(word.value)) for word in call.keywords if word.arg == "keys"] or [1]
            stem = ast.literal_eval(call.args[1])  # a name that is not written out cannot be searched for
            found.append(((module, call.lineno), module.parent / "lua" / f"{stem}.lua", keys[0]))
    return tuple(found)


def assembled(path: Path) -> str:
    """The script with its fragments, as the server gets it; empty when no module names it."""
    for (module, _), script, _ in calls():
        if script == path:
            import_module(module_of(module))
    texts = (source.text.decode() for source in KNOWN.values() if source.name == path.stem)
    return next((text for text in texts if text.endswith(code(path))), "")


def declared(path: Path) -> list[tuple[str, str, str]]:
    """The header's lists, as `("KEYS", "1", "lock")`, without what there may be any number of."""
    header = HEADER.match(path.read_text())
    blocks = header.groupdict(default="") if header else {}
    lines = [(kind, line) for kind, block in blocks.items() for line in block.splitlines()]
    entries = [(kind, ENTRY.fullmatch(line)) for kind, line in lines if not UNLISTED.fullmatch(line)]
    return [(kind, entry[1], entry[2]) if entry else (kind, "?", "not a list") for kind, entry in entries]


def taken(path: Path) -> list[tuple[str, str, str]]:
    """What the body reads of KEYS and ARGV, with the local that each becomes, or `?` elsewhere than at the top."""
    found = []
    for names, values in LOCALS.findall(code(path)):
        items = ITEM.findall(values)
        found += [(kind, number, name) for name, (kind, number) in zip(names.split(", "), items, strict=False)]
    rest = ITEM.findall(LOCALS.sub("", code(path)))
    return found + [(kind, number, "?") for kind, number in rest]


def allowed(command: str, key: str, names: set[str]) -> bool:
    """Whether a command may take this for its key."""
    return command in KEYLESS or key.strip() in names or key.startswith(("KEYS[", "unpack"))
