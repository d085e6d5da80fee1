// The bundle that the server embeds, against the real server.

import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import type * as Twohop from "../src/index.js"
import type { Batch, Transport } from "../src/index.js"
import { proxy, Server, until } from "./server.js"
import { keepStorage } from "./world.js"

const { connect, TwohopError } = (await import(process.cwd() + "/twohop.js")) as typeof Twohop

keepStorage()
const kinds: Transport[] = ["ws", "sse", "long-poll", "poll"]
const server = new Server("engine: memory\nrules: [{match: \"later/**\", create: on-publish}, {match: \"short/**\", retention: {records: 5}}]\n")
before(() => server.start())
after(() => server[Symbol.asyncDispose]())

let channels = 0
const fresh = async (type?: string): Promise<string> => {
  const name = `t/${++channels}`
  await server.create(name, type)
  return name
}
const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i + 1)

for (const transport of kinds) {
  test(`${transport}: history, then what comes, until the channel is closed`, async () => {
    const channel = await fresh()
    await server.publish(channel, numbers(0, 3))
    const c = connect({ url: server.url, transport })
    const f = c.follow(channel, { offset: "-1" })
    const got: unknown[] = []
    let last: Batch | undefined
    for await (const b of f) {
      if (got.length === 0) {
        void c.publish(channel, [4, 5]).then(() => c.publish(channel, 6, { close: true })).catch(() => {}) // it may be closed before the answer
      }
      got.push(...b.records)
      last = b
      assert.equal(f.offset, b.offset)
    }
    assert.deepEqual(got, numbers(0, 6))
    assert.equal(last!.closed, true)
    assert.equal(c.status.transport === transport || c.status.state === "idle", true)
    c.close()
  })

  test(`${transport}: tailRecords, since, text, bytes, and "now"`, async () => {
    const channel = await fresh()
    await server.publish(channel, numbers(0, 9))
    const c = connect({ url: server.url, transport })
    const first = async (o: Twohop.FollowOptions, name = channel): Promise<Batch> => {
      for await (const b of c.follow(name, o)) if (b.records.length || b.text || b.bytes) return b
      throw new Error("ended")
    }
    assert.deepEqual((await first({ tailRecords: 2 })).records, [8, 9])
    assert.deepEqual((await first({ since: new Date(Date.now() - 60_000) })).records, numbers(0, 9))
    const now = first({})
    await until("it stands", () => c.status.state === "open")
    await new Promise((resolve) => setTimeout(resolve, 100))
    await c.publish(channel, 10)
    assert.deepEqual((await now).records, [10])

    const text = await fresh("text/plain")
    await c.publish(text, "héllo\n", { contentType: "text/plain" })
    assert.equal((await first({ offset: "-1" }, text)).text, "héllo\n")
    const raw = await fresh("application/octet-stream")
    await c.publish(raw, new Uint8Array([0, 1, 255]))
    assert.deepEqual([...(await first({ offset: "-1" }, raw)).bytes!], [0, 1, 255])
    c.close()
  })

  test(`${transport}: a reset says what is lost, and the follower goes on`, async () => {
    const channel = "short/" + transport
    await server.create(channel)
    const start = await server.publish(channel, [0])
    for (let i = 1; i <= 40; i++) await server.publish(channel, [i])
    const c = connect({ url: server.url, transport })
    const resets: string[] = []
    const f = c.follow(channel, { offset: start, onReset: (r) => resets.push(r.reason) })
    let got: unknown[] = []
    for await (const b of f) {
      if (b.reset) {
        assert.equal(b.reset.reason, "trimmed")
        got = []
      }
      got.push(...b.records)
      if (got.at(-1) === 40) break
    }
    // Without a reset nothing may be missing: retention is free to be late.
    if (!resets.length) assert.deepEqual(got, numbers(0, 40))
    else assert.deepEqual(got, numbers(40 - got.length, 40))
    const ahead = c.follow(channel, { offset: start.slice(0, 17) + "9".repeat(16) })
    for await (const b of ahead) {
      assert.equal(b.reset?.reason, "ahead")
      break
    }
    c.close()
  })

  test(`${transport}: errors that won't mend end the follower, the others go on`, async () => {
    const channel = await fresh()
    const c = connect({ url: server.url, transport })
    const good = c.follow(channel, { offset: "-1" })
    await assert.rejects(
      async () => {
        for await (const b of c.follow("nowhere/at/all")) assert.fail(JSON.stringify(b))
      },
      (e) => e instanceof TwohopError && e.code === "not_found" && e.hint !== "" && e.message !== "",
    )
    await c.publish(channel, 1)
    for await (const b of good) if (b.records.length) break
    await assert.rejects(() => c.publish("nowhere/at/all", 1), { code: "not_found" })
    const tail = good.offset!
    const moved = await c.publish(channel, 2, { ifMatch: tail })
    await assert.rejects(() => c.publish(channel, 3, { ifMatch: tail }), { code: "tail_moved", offset: moved.offset })
    c.close()
  })

  test(`${transport}: a channel that does not exist yet is waited for`, async () => {
    const channel = "later/" + transport
    const c = connect({ url: server.url, transport })
    const f = c.follow(channel)
    const others: unknown[][] = [[], [], []]
    const second = c.follow(channel, { onBatch: (b) => others[0]!.push(...b.records) })
    const third = c.follow(channel, { tailRecords: 5, onBatch: (b) => others[1]!.push(...b.records) })
    await until("it stands", () => f.at.offset !== undefined || c.status.state === "open")
    await new Promise((resolve) => setTimeout(resolve, 100))
    c.publish(channel, { a: 1 }).catch(() => {}) // it may be closed before the answer
    for await (const b of f) {
      if (!b.records.length) continue
      assert.deepEqual(b.records, [{ a: 1 }])
      break
    }
    c.follow(channel, { offset: "-1", onBatch: (b) => others[2]!.push(...b.records) })
    await until("all have it", () => others.every((o) => o.length === 1))
    second.close()
    third.close()
    c.close()
  })

  test(`${transport}: 1,500 channels over one connection`, async () => {
    const c = connect({ url: server.url, transport, budget: 1500 })
    const names = Array.from({ length: 1500 }, (_, i) => `later/many/${transport}/${i}`)
    const got = new Map<string, unknown[]>()
    const followers = names.map((n) => c.follow(n, { onBatch: (b) => got.set(n, [...(got.get(n) ?? []), ...b.records]) }))
    await until("all stand", () => got.size === names.length)
    for (let i = 0; i < 15; i++) {
      const items = names.slice(i * 100, i * 100 + 100).map((channel, j) => ({ channel, records: [i * 100 + j] }))
      const r = await fetch(server.url + "/v1/publish", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(items) })
      assert.equal(r.status, 200)
    }
    await until("all came", () => [...got.values()].every((v) => v.length === 1))
    names.forEach((n, i) => assert.deepEqual(got.get(n), [i]))
    for (const f of followers) f.close()
    await until("nothing is followed", () => c.status.state === "idle")
    c.close()
  })
}

test("publishing: order, batches, keys", async () => {
  for (const transport of ["ws", "sse"] as const) {
    const channel = await fresh()
    const c = connect({ url: server.url, transport })
    const f = c.follow(channel, { offset: "-1" })
    await until("it is open", () => c.status.state === "open")
    const answers = await Promise.all(numbers(0, 3000).map((i) => c.publish(channel, i)))
    const got: unknown[] = []
    for await (const b of f) {
      got.push(...b.records)
      if (got.length >= 3000) break
    }
    assert.deepEqual(got, numbers(0, 3000))
    for (let i = 1; i < answers.length; i++) assert.ok(answers[i]!.offset >= answers[i - 1]!.offset)
    assert.equal(answers.at(-1)!.durability, "memory")
    const one = await c.publish(channel, "x", { idempotencyKey: "k" })
    const two = await c.publish(channel, "x", { idempotencyKey: "k" })
    assert.deepEqual([two.duplicate, two.offset], [true, one.offset])
    c.close()
  }
})

test("followers of one channel at different places share what they can", async () => {
  const channel = await fresh()
  await server.publish(channel, numbers(0, 500))
  const c = connect({ url: server.url, transport: "ws" })
  let n = 500
  let stop = false
  const publisher = (async () => {
    while (!stop) {
      n += 3
      await server.publish(channel, numbers(n - 3, n))
    }
  })()
  const seen: unknown[][] = []
  const followers = ["-1", "-1", "now", "-1", "now"].map((offset) => {
    const got: unknown[] = []
    seen.push(got)
    return c.follow(channel, { offset, onBatch: (b) => got.push(...b.records) })
  })
  const late: unknown[] = []
  await until("some came", () => seen[0]!.length > 600)
  followers.push(c.follow(channel, { tailRecords: 100, onBatch: (b) => late.push(...b.records) }))
  seen.push(late)
  // A reader that stops for a while keeps nobody waiting, and loses nothing.
  const slow: unknown[] = []
  seen.push(slow)
  const f = c.follow(channel, { offset: "-1" })
  const reading = (async () => {
    let batches = 0
    for await (const b of f) {
      slow.push(...b.records)
      if (++batches % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 300))
    }
  })()
  await until("many came", () => seen[0]!.length > 2500)
  stop = true
  await publisher
  await until("all came", () => seen.every((got) => got.at(-1) === n))
  for (const got of seen) assert.deepEqual(got, numbers((got[0] as number) - 1, n))
  assert.equal(seen[0]![0], 1)
  c.close()
  await reading
})

test("the transport is changed 1,000 times under load: no loss, no duplicate, no disorder", async () => {
  const channel = await fresh()
  const c = connect({ url: server.url, transport: "sse" })
  const got: unknown[] = []
  const used = new Map<string, number>()
  c.follow(channel, { offset: "-1", onBatch: (b) => got.push(...b.records) })
  c.addEventListener("status", () => {
    const t = c.status.transport
    if (c.status.state === "open" && t) used.set(t, (used.get(t) ?? 0) + 1)
  })
  let n = 0
  let stop = false
  const publishers = (async () => {
    while (!stop) {
      const many = 1 + (n % 4)
      n += many
      await server.publish(channel, numbers(n - many, n))
    }
  })()
  const begun = Date.now()
  for (let i = 0; i < 1000; i++) {
    const others = kinds.filter((k) => k !== c.transport)
    c.transport = others[Math.floor(Math.random() * others.length)]!
    // Often as soon as it is made, sometimes before.
    const before = used.get(c.transport) ?? 0
    if (Math.random() < 0.7) await until("changed", () => c.status.transport === c.transport || (used.get(c.transport as string) ?? 0) > before)
    else await new Promise((resolve) => setTimeout(resolve, Math.random() * 10))
  }
  const took = Date.now() - begun
  stop = true
  await publishers
  await until("all came", () => got.length >= n)
  assert.equal(got.length, n)
  got.forEach((v, i) => {
    if (v !== i + 1) assert.fail(`record ${i + 1} is ${v}`)
  })
  assert.ok(kinds.every((k) => (used.get(k) ?? 0) > 50), JSON.stringify([...used]))
  assert.ok(n / took > 0.3, `${n} records in ${took} ms`)
  c.close()
})

test("kill -9 and restart on disk: nothing is lost, nothing comes twice", async () => {
  await using disk = await new Server("engine: disk\n").start()
  await disk.create("a")
  const clients = kinds.map((transport) => connect({ url: disk.url, transport }))
  const got = clients.map((c) => {
    const list: unknown[] = []
    c.follow("a", { offset: "-1", onBatch: (b) => (assert.equal(b.reset, undefined), list.push(...b.records)) })
    return list
  })
  const writer = connect({ url: disk.url })
  let n = 0
  let stop = false
  const writing = (async () => {
    while (!stop) await writer.publish("a", ++n)
  })()
  for (let i = 0; i < 3; i++) {
    const goal = n + 100
    await until("some more", () => got.every((list) => list.length >= goal), 60_000)
    await disk.end("SIGKILL")
    await disk.start()
  }
  const goal = n + 50
  await until("some more", () => n >= goal, 60_000)
  stop = true
  await writing
  await until("all came", () => got.every((list) => list.length >= n), 60_000)
  for (const list of got) assert.deepEqual(list, numbers(0, n))
  for (const c of [...clients, writer]) c.close()
})

test("a drain moves clients on, and they come back to the same place", async () => {
  await using disk = await new Server("engine: disk\ndrain: 2s\n").start()
  await disk.create("a")
  const clients = kinds.map((transport) => connect({ url: disk.url, transport }))
  const got = clients.map((c) => {
    const list: unknown[] = []
    c.follow("a", { offset: "-1", onBatch: (b) => list.push(...b.records) })
    return list
  })
  await disk.publish("a", [1])
  await until("1", () => got.every((l) => l.length === 1))
  await disk.end("SIGTERM")
  await disk.start()
  await disk.publish("a", [2])
  await until("2", () => got.every((l) => l.length === 2))
  for (const c of clients) c.close()
})

test("auto goes down the ladder where the network needs it, and up again", async () => {
  const channel = await fresh()
  const p = await proxy(server, false, true)
  const options = { url: p.url }
  let n = 0
  const follow = (c: Twohop.Client): unknown[] => {
    const got: unknown[] = []
    for (let i = 0; i < 4; i++) c.follow(i ? channel + "-" + i : channel, { offset: "-1", onBatch: (b) => i || got.push(...b.records) })
    return got
  }
  for (let i = 1; i < 4; i++) await server.create(channel + "-" + i)
  // Four channels want a WebSocket, which is refused.
  const one = connect(options)
  const got = follow(one)
  await until("sse", () => one.status.state === "open" && one.status.transport === "sse")
  await server.publish(channel, [++n])
  await until("it came", () => got.length === n)
  // It is remembered.
  const before = p.seen.filter((u) => u.startsWith("/v1/ws")).length
  const two = connect(options)
  const also = follow(two)
  await until("it came", () => also.length === n)
  assert.equal(two.status.transport, "sse")
  assert.equal(p.seen.filter((u) => u.startsWith("/v1/ws")).length, before)
  one.close()
  two.close()
  p.close()

  // Event streams are held back: within 2 s it takes long polls.
  const q = await proxy(server, false, false)
  const three = connect({ url: q.url })
  const begun = Date.now()
  const more = follow(three)
  await until("long-poll", () => three.status.state === "open" && three.status.transport === "long-poll")
  assert.ok(Date.now() - begun < 4000)
  await server.publish(channel, [++n])
  await until("it came", () => more.length === n)
  // Whoever insists gets what he wants as soon as it gets through, and is served until then.
  q.upgrade = true
  three.transport = "ws"
  await until("ws", () => three.status.transport === "ws")
  await server.publish(channel, [++n])
  await until("it came", () => more.length === n)
  assert.deepEqual(more, numbers(0, n))
  three.close()
  q.close()
})

test("auto follows the budget: polls where they are enough", async () => {
  const channel = await fresh()
  const c = connect({ url: server.url })
  const slow = c.follow(channel, { budget: "3s", onBatch: () => {} })
  await until("poll", () => c.status.state === "open" && c.status.transport === "poll")
  const fast = c.follow(channel, { budget: 100, onBatch: () => {} })
  await until("sse", () => c.status.state === "open" && c.status.transport === "sse")
  fast.close()
  for (let i = 0; i < 4; i++) await c.publish(channel, i)
  await until("ws", () => c.status.state === "open" && c.status.transport === "ws")
  slow.close()
  await until("idle", () => c.status.state === "idle")
  c.close()
})

test("abort signals and close end followers", async () => {
  const channel = await fresh()
  const c = connect({ url: server.url, transport: "sse" })
  const stop = new AbortController()
  const f = c.follow(channel, { offset: "-1", signal: stop.signal })
  setTimeout(() => stop.abort(), 50)
  for await (const b of f) assert.equal(b.records.length, 0)
  await f.done
  const g = c.follow(channel, { offset: "-1" })
  setTimeout(() => c.close(), 50)
  for await (const b of g) assert.equal(b.records.length, 0)
  assert.equal(c.status.state, "closed")
  await assert.rejects(() => c.publish(channel, 1), { code: "closed" })
  for await (const b of c.follow(channel)) assert.fail(JSON.stringify(b))
  await assert.rejects(() => c.publish(channel, 1, { signal: AbortSignal.abort() }), { name: "AbortError" })
  assert.throws(() => c.follow(channel, { budget: "soon" }), { code: "invalid_parameter" })
  assert.throws(() => connect(), { code: "invalid_request" })
})
