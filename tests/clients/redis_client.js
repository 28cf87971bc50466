// What node-redis does, against a slave: exits with 0 if every answer is what an application expects.
const assert = require("assert");
const redis = require("redis");

const url = `redis://127.0.0.1:${process.argv[2]}`;

(async () => {
  const client = redis.createClient({ url });
  client.on("error", (error) => { throw error; });
  await client.connect();
  assert.strictEqual(await client.ping(), "PONG");
  assert.strictEqual(await client.set("{j}k", "v", { NX: true, PX: 100000 }), "OK");
  assert.strictEqual(await client.set("{j}k", "w", { NX: true }), null);
  assert.ok(await client.pTTL("{j}k") > 90000);

  // Sent together: one pipeline.
  const all = await Promise.all([...Array(500).keys()].map((n) => client.set(`node:${n}`, `${n}`).then(() => client.get(`node:${n}`))));
  assert.deepStrictEqual(all, [...Array(500).keys()].map(String));
  const answers = await client.multi().incr("{j}n").hSet("{j}h", { a: "1", b: "2" }).hGetAll("{j}h").exec();
  assert.strictEqual(JSON.stringify(answers), JSON.stringify([1, 2, { a: "1", b: "2" }]));

  // A transaction of a connection of its own that comes too late.
  await assert.rejects(client.executeIsolated(async (own) => {
    await own.watch("{j}n");
    await client.set("{j}n", "10");
    return own.multi().incr("{j}n").exec();
  }), redis.WatchError);

  const waiter = client.duplicate();
  await waiter.connect();
  const popped = waiter.blPop("{j}jobs", 20);
  await client.rPush("{j}jobs", "job");
  assert.strictEqual((await popped).element, "job");

  const found = new Set();
  for await (const key of client.scanIterator({ MATCH: "node:*", COUNT: 50 })) found.add(key);
  assert.strictEqual(found.size, 500);
  await client.zAdd("{j}z", [{ score: 1, value: "one" }, { score: 2.5, value: "two" }]);
  assert.strictEqual((await client.zRangeWithScores("{j}z", 0, -1))[1].score, 2.5);
  const bytes = Buffer.from([0, 255, 13, 10]);
  await client.set("{j}bytes", bytes);
  assert.deepStrictEqual(await client.get(redis.commandOptions({ returnBuffers: true }), "{j}bytes"), bytes);
  await assert.rejects(client.lPush("{j}k", "x"), /WRONGTYPE/);
  await waiter.quit();
  await client.quit();
})().catch((error) => { console.error(error); process.exit(1); });
