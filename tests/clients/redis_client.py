"""What redis-py does, against a slave: exits with 0 if every answer is what an application expects."""
import sys
import threading
import time

import redis


def wait_for(ask):
    until = time.monotonic() + 20
    while not ask():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


client = redis.Redis(port=int(sys.argv[1]), health_check_interval=1)
assert client.ping() and client.info()["redis_mode"] == "standalone"

# Values of any bytes and sizes, and their options.
large = bytes(range(256)) * 3000
assert client.set("{p}large", large) and client.get("{p}large") == large
assert client.set("{p}a", "1", nx=True) and client.set("{p}a", "2", nx=True) is None
assert client.set("{p}a", "3", xx=True, get=True) == b"1"
assert client.incr("{p}n", 5) == 5 and client.incrbyfloat("{p}n", 0.5) == 5.5
assert client.mset({"x": "1", "y": "2", "z": "3"}) and client.mget("x", "y", "none") == [b"1", b"2", None]
assert client.delete("x", "y", "z", "none") == 3
try:
    client.lpush("{p}a", 1)
    raise AssertionError("a string is no list")
except redis.ResponseError as error:
    assert "WRONGTYPE" in str(error)

# A pipeline without and with a transaction.
pipe = client.pipeline(transaction=False)
for number in range(1000):
    pipe.set(f"pipe:{number}", number)
    pipe.get(f"pipe:{number}")
assert pipe.execute()[1::2] == [str(number).encode() for number in range(1000)]
with client.pipeline() as pipe:
    assert pipe.rpush("{p}l", "a", "b").lrange("{p}l", 0, -1).execute() == [2, [b"a", b"b"]]


def add_one(pipe):
    number = int(pipe.get("{p}counter") or 0)
    pipe.multi()
    pipe.set("{p}counter", number + 1)


threads = [threading.Thread(target=lambda: [client.transaction(add_one, "{p}counter") for _ in range(20)]) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert client.get("{p}counter") == b"80", client.get("{p}counter")

# A pop that waits, and one that waits in vain.
got = []
waiter = threading.Thread(target=lambda: got.append(client.blpop("{p}jobs", timeout=20)))
waiter.start()
client.rpush("{p}jobs", "job")
waiter.join()
assert got == [(b"{p}jobs", b"job")] and client.blpop("{p}jobs", timeout=0.05) is None

# Collections and their iterators.
client.sadd("{p}s", *range(500))
assert {int(member) for member in client.sscan_iter("{p}s", count=50)} == set(range(500))
client.hset("{p}h", mapping={f"f{number}": number for number in range(300)})
assert len(dict(client.hscan_iter("{p}h"))) == 300 and client.hget("{p}h", "f7") == b"7"
client.zadd("{p}z", {"one": 1, "two": 2, "three": 3})
assert client.zrange("{p}z", 0, -1, withscores=True) == [(b"one", 1.0), (b"two", 2.0), (b"three", 3.0)]
assert {key for key in client.scan_iter(match="pipe:*", count=100)} == {f"pipe:{n}".encode() for n in range(1000)}

# Bits, the longest common subsequence, what OBJECT tells.
assert client.bitfield("{p}bits").set("u8", 0, 255).incrby("u8", 0, 2).get("u4", 4).execute() == [0, 1, 1]
client.mset({"{p}m": "ohmytext", "{p}t": "mynewtext"})
assert client.lcs("{p}m", "{p}t") == b"mytext" if hasattr(client, "lcs") else True
assert client.object("encoding", "{p}l") == b"quicklist" and client.object("refcount", "{p}l") == 1
assert client.config_get("databases") == {"databases": "16"}

# Times to live.
assert client.set("{p}short", "v", px=30) and client.pttl("{p}large") == -1
assert client.expire("{p}a", 100) and 90 < client.ttl("{p}a") <= 100 and client.persist("{p}a")
wait_for(lambda: client.get("{p}short") is None)

# Another database is another namespace.
other = redis.Redis(port=int(sys.argv[1]), db=1)
assert other.get("{p}a") is None and other.set("{p}a", "other") and client.get("{p}a") == b"3"
assert other.flushdb() and other.dbsize() == 0 and client.exists("{p}a")
