// Tabs that share a connection: pages and the worker in one process, with the ports of
// Node between them. A browser's own are in test/real.

import assert from "node:assert/strict"
import { test } from "node:test"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Client } from "../src/client.js"
import { share } from "../src/shared.js"
import { transports } from "../src/transports.js"
import { serveTabs } from "../src/worker.js"
import type { Batch, ConnectOptions } from "../src/types.js"
import { data, FakeServer, FakeSocket, offset, settle, subscribed } from "./world.js"

/** Locks as a browser has them: who asks waits until the one before is done, or is no more. */
class Locks {
  readonly #held = new Map<string, Promise<unknown>>()
  /** The holders of all locks are no more. */
  die!: (_: void) => void
  readonly #dead = new Promise<void>((resolve) => (this.die = resolve))
  async request(name: string, f: () => unknown): Promise<unknown> {
    const before = this.#held.get(name)
    const mine = (async () => {
      await before
      return Promise.race([f(), this.#dead])
    })()
    this.#held.set(name, mine)
    return mine
  }
}

const scope = globalThis as unknown as {
  onconnect?: (e: { ports: MessagePort[] }) => void
  SharedWorkerGlobalScope?: unknown
  SharedWorker?: unknown
  navigator: { locks?: Locks }
  WebSocket: unknown
}

/** The workers of a browser: one for each name. `how` is what becomes of a new one. */
function browser(how: "works" | "forbidden" | "broken" | "silent"): string[] {
  FakeSocket.all = []
  const names: string[] = []
  const connects = new Map<string, (e: { ports: MessagePort[] }) => void>()
  Object.defineProperty(globalThis, "navigator", { value: { locks: new Locks() }, configurable: true })
  scope.WebSocket = FakeSocket
  scope.SharedWorkerGlobalScope = class {}
  scope.SharedWorker = class {
    port: MessagePort
    onerror?: () => void
    constructor(_url: string, { name }: { name: string }) {
      if (how === "silent") {
        this.port = { postMessage() {}, close() {} } as unknown as MessagePort
        return
      }
      if (how === "forbidden") throw new DOMException("another origin", "SecurityError")
      const { port1, port2 } = new MessageChannel()
      this.port = port1
      if (how === "broken") {
        setImmediate(() => {
          this.onerror!()
          port1.close()
        })
        return
      }
      if (!connects.has(name)) {
        names.push(name)
        serveTabs(transports)
        connects.set(name, scope.onconnect!)
      }
      queueMicrotask(() => connects.get(name)!({ ports: [port2] }))
    }
  }
  return names
}

const tab = (o: ConnectOptions = {}): Client => new Client({ url: "http://tabs.test", shared: true, transport: "ws", ...o }, transports, share)

const values = (c: Client, channel: string, o = {}): unknown[] => {
  const got: unknown[] = []
  c.follow(channel, { offset: offset(0), onBatch: (b: Batch) => got.push(...b.records), ...o })
  return got
}

/** Messages between ports take their time. */
const arrive = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await settle()
}

test("tabs share one connection", async () => {
  const names = browser("works")
  const one = tab()
  const two = tab()
  const statuses: string[] = []
  two.addEventListener("status", () => statuses.push(two.status.state))
  const got = [values(one, "a"), values(two, "a"), values(two, "b")]
  await arrive()
  assert.equal(FakeSocket.all.length, 1)
  assert.equal(names.length, 1)
  const socket = FakeSocket.last
  socket.welcome()
  await arrive()
  const asked = (): unknown[] => socket.sent.filter((f) => f.type === "subscribe").flatMap((f) => (f.channels as { channel: string }[]).map((c) => c.channel))
  assert.deepEqual(asked(), ["a", "b"])
  for (const c of ["a", "b"]) {
    socket.say(subscribed(c, 0, false))
    socket.say(data(c, 0, 2))
  }
  await arrive()
  assert.deepEqual(got, [[1, 2], [1, 2], [1, 2]])
  assert.equal(one.status.transport, "ws")
  assert.equal(statuses.at(-1), "open")

  // A publish, an error with all that it tells, and errors of followers.
  const good = two.publish("a", 3)
  const bad = assert.rejects(one.publish("c", 3, { ifMatch: offset(9) }), {
    name: "TwohopError", code: "tail_moved", hint: "h", message: "m", offset: offset(4),
  })
  const none = one.follow("none")
  await arrive()
  for (const f of socket.sent.filter((s) => s.type === "publish")) {
    if (f.channel === "a") socket.say({ type: "published", id: f.id, channel: "a", offset: offset(3), durability: "disk", readers: 1 })
    else socket.say({ type: "error", id: f.id, channel: "c", code: "tail_moved", message: "m", hint: "h", offset: offset(4) })
  }
  socket.say({ type: "error", channel: "none", code: "not_found", message: "m", hint: "h" })
  assert.deepEqual(await good, { offset: offset(3), durability: "disk", readers: 1, duplicate: false })
  await bad
  await assert.rejects(none.done, { code: "not_found" })

  // The channels of a tab that is gone are left.
  two.close()
  await arrive()
  assert.deepEqual(socket.sent.at(-1), { type: "unsubscribe", channels: ["b"] })
  socket.say(data("a", 2, 3))
  await arrive()
  assert.deepEqual(got, [[1, 2, 3], [1, 2], [1, 2]])
  one.close()
  await arrive()
  assert.ok(socket.closed)
})

test("channels that are followed in one turn reach the worker together, and end with the client", async () => {
  browser("works")
  const server = new FakeServer()
  const { fetch } = globalThis
  globalThis.fetch = server.fetch
  const c = tab({ transport: "auto" })
  const followers = ["a", "b", "c", "d", "e"].map((channel) => c.follow(channel, { onBatch: () => {} }))
  const left = c.follow("f")
  left.close()
  await arrive()
  globalThis.fetch = fetch
  assert.deepEqual(server.requests, [], "an event stream would have been best for the first channel alone")
  FakeSocket.last.welcome()
  await arrive()
  const subscribes = FakeSocket.last.sent.filter((f) => f.type === "subscribe").map((f) => (f.channels as { channel: string }[]).map((s) => s.channel).join())
  assert.deepEqual(subscribes, ["a,b,c,d,e"])
  c.close()
  for (const f of followers) await f.done
  await c.follow("a").done // it ends at once
  await assert.rejects(c.publish("a", 1), { code: "closed" })
  await arrive()
  assert.equal(c.status.state, "closed")
  await arrive()
  assert.ok(FakeSocket.last.closed)
})

test("a tab that is closed says of publishes that they may be taken: the worker goes on", async () => {
  browser("works")
  const c = tab()
  values(c, "a")
  await arrive()
  FakeSocket.last.welcome()
  await arrive()
  const p = assert.rejects(c.publish("a", 1), { code: "unknown_outcome" })
  await arrive()
  const { type, id } = FakeSocket.last.sent.at(-1)!
  assert.equal(type, "publish")
  c.close()
  c.close()
  FakeSocket.last.say({ type: "published", id, channel: "a", offset: offset(1) }) // too late for the tab
  await p
  await arrive()
})

test("a follower that is closed is not kept", async () => {
  setFlagsFromString("--expose-gc")
  const gc = runInNewContext("gc") as () => void
  browser("works")
  const c = tab()
  values(c, "a")
  await arrive()
  const f = new WeakRef(c.follow("a"))
  await arrive()
  f.deref()!.close()
  await arrive()
  gc()
  assert.equal(f.deref(), undefined)
  c.close()
  await arrive()
})

test("tabs of different tokens don't share, and a page is asked for a fresh one", async () => {
  const names = browser("works")
  let n = 0
  const tabs = [tab({ token: "x" }), tab({ token: "y" }), tab({ token: () => "t" + ++n }), tab({ token: async () => "t" + ++n })]
  for (const c of tabs) values(c, "a")
  await arrive()
  assert.equal(names.length, 3)
  assert.deepEqual(FakeSocket.all.map((s) => s.url.split("?")[1]).sort(), ["token=t1", "token=x", "token=y"])
  for (const c of tabs) c.close()
  await arrive()
})

test("a value reaches the worker as it was when it was given, and as JSON has it", async () => {
  browser("works")
  const c = tab()
  values(c, "a")
  await arrive()
  FakeSocket.last.welcome()
  await arrive()
  const value = { n: 1, toJSON: () => ({ n: value.n, f: "from toJSON" }) }
  const p = c.publish("a", value)
  value.n = 2
  await arrive()
  const { id, records } = FakeSocket.last.sent.at(-1)!
  assert.deepEqual(records, [{ n: 1, f: "from toJSON" }])
  FakeSocket.last.say({ type: "published", id, channel: "a", offset: offset(1) })
  await p
  c.close()
  await arrive()
})

test("a worker that dies ends what its tabs do", async () => {
  browser("works")
  const c = tab()
  const f = c.follow("a")
  await arrive()
  FakeSocket.last.welcome()
  await arrive()
  const p = assert.rejects(c.publish("a", 1), { code: "unknown_outcome" })
  await arrive()
  assert.equal(c.status.state, "open")
  FakeSocket.last.say({ type: "published", id: FakeSocket.last.sent.at(-1)!.id, channel: "a", offset: offset(1) }) // too late for the tab
  scope.navigator.locks!.die()
  await p
  await assert.rejects(f.done, { code: "unavailable" })
  assert.equal(c.status.state, "closed")
  await c.follow("a").done
  await assert.rejects(c.publish("a", 1), { code: "closed" })
})

test("a worker that says nothing: after 5 s a connection of one's own", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] })
  browser("silent")
  const c = tab()
  values(c, "a")
  await arrive()
  t.mock.timers.tick(4999)
  await arrive()
  assert.equal(FakeSocket.all.length, 0)
  t.mock.timers.tick(1)
  await arrive()
  assert.equal(FakeSocket.all.length, 1)
  c.close()
  await arrive()
})

for (const how of ["forbidden", "broken"] as const) {
  test(`a worker that is ${how}: a connection of one's own`, async () => {
    browser(how)
    const c = tab()
    const got = values(c, "a")
    await arrive()
    assert.equal(FakeSocket.all.length, 1)
    FakeSocket.last.welcome()
    await arrive()
    FakeSocket.last.say(subscribed("a", 0, false))
    FakeSocket.last.say(data("a", 0, 1))
    assert.deepEqual(got, [1])
    c.close()
  })
}
