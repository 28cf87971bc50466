"""What pymemcache and python-pylibmc do, against a slave: exits with 0 if every answer is what an application expects."""
import sys
import time

import pylibmc
import pymemcache

port = int(sys.argv[1])


def wait_for(ask):
    until = time.monotonic() + 20
    while not ask():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


client = pymemcache.Client(("127.0.0.1", port), default_noreply=False)
large = bytes(range(256)) * 3000
assert client.set("large", large) and client.get("large") == large
assert client.add("k", "one") and not client.add("k", "two") and client.replace("k", "three")
value, token = client.gets("k")
assert value == b"three" and client.cas("k", "four", token) and not client.cas("k", "five", token)
assert client.append("k", "+") and client.prepend("k", "-") and client.get("k") == b"-four+"
assert client.set_many({f"many:{number}": str(number) for number in range(200)}) == []
assert client.get_many([f"many:{number}" for number in range(0, 400)]) == {f"many:{n}": str(n).encode() for n in range(200)}
assert client.set("n", "5") and client.incr("n", 3) == 8 and client.decr("n", 10) == 0 and client.incr("none", 1) is None
assert client.touch("k", 100) and client.delete("k") and not client.delete("k")
assert client.set("short", "v", expire=1)
wait_for(lambda: client.get("short") is None)
assert client.version() and client.stats()[b"pid"]
for number in range(200):
    client.set(f"quiet:{number}", "v", noreply=True)
assert client.get("quiet:199") == b"v"

pool = pymemcache.PooledClient(("127.0.0.1", port), max_pool_size=4)
assert pool.set("pooled", "v") and pool.get("pooled") == b"v"

# The C library, whose clients keep a value's type in the flags.
other = pylibmc.Client([f"127.0.0.1:{port}"], behaviors={"cas": True, "tcp_nodelay": True})
assert other.set("typed", {"a": [1, 2]}) and other.get("typed") == {"a": [1, 2]}
value, token = other.gets("typed")
assert other.cas("typed", 7, token) and other.get("typed") == 7 and other.incr("typed") == 8
other.set_multi({str(number): number for number in range(100)}, key_prefix="multi:")
assert other.get_multi([str(number) for number in range(100)], key_prefix="multi:") == {str(n): n for n in range(100)}
assert client.flush_all() and client.get("large") is None
