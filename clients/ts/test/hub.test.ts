// The client in virtual time, against sockets and answers that the test plays.

import assert from "node:assert/strict"
import { getEventListeners } from "node:events"
import { test, type TestContext } from "node:test"
import { Client } from "../src/client.js"
import type { TwohopError } from "../src/errors.js"
import type { Follower } from "../src/follower.js"
import { milliseconds, needOf } from "../src/need.js"
import { parser } from "../src/sse.js"
import { transports } from "../src/transports.js"
import type { Batch, ConnectOptions } from "../src/types.js"
import { data, event, type FakeRequest, FakeServer, FakeSocket, keepStorage, offset, settle, subscribed, VirtualClock } from "./world.js"

keepStorage()
let worlds = 0

/** A client with its world; each has a server of another name, so that nothing is remembered from another test. */
function world(o: ConnectOptions = {}): { clock: VirtualClock; server: FakeServer; client: Client; url: string } {
  FakeSocket.all = []
  const clock = new VirtualClock()
  const server = new FakeServer()
  const url = o.url ?? `http://server${++worlds}.test`
  const client = new Client({ fetch: server.fetch, WebSocket: FakeSocket as never, ...o, url, clock } as ConnectOptions, transports)
  return { clock, server, client, url: String(url) }
}

const values = (client: Client, channel: string, o = {}): unknown[] => {
  const got: unknown[] = []
  client.follow(channel, { onBatch: (b: Batch) => got.push(...b.records), ...o })
  return got
}

test("event streams are read however they are cut", () => {
  const text = ": twohop\nretry: 700\n\nid: 1\ndata:" + JSON.stringify([data("ä", 0, 2)]) + "\n\nevent: other\ndata: [1]\n\n: \n\nid: 2\ndata: [\ndata: " + JSON.stringify(data("b", 2, 3)) + "\ndata: ]\n\nid: 3\ndata:[tr"
  for (let size = 1; size < text.length; size++) {
    const p = parser()
    const frames = []
    for (let i = 0; i < text.length; i += size) frames.push(...p.feed(text.slice(i, i + size)))
    assert.deepEqual(frames.map((f) => f.channel), ["ä", "b"])
    assert.equal(p.pace, 700)
  }
})

test("an event stream has no line ends but LF", () => {
  const records = ["a\u2028b", "\u2029", "\u2028data: 1", "\u2028event: x", "\u2029retry: 9", "\u0085"]
  const text = "retry: 700\n\n" + event({ ...data("a", 0, 1), records }) + event(data("b", 0, 1))
  for (const size of [1, 7, text.length]) {
    const p = parser()
    const frames = []
    for (let i = 0; i < text.length; i += size) frames.push(...p.feed(text.slice(i, i + size)))
    assert.deepEqual(frames.map((f) => f.records), [records, [1]])
    assert.equal(p.pace, 700)
  }
})

test("budgets are whole milliseconds, and tailRecords a number of records", async () => {
  const { clock, client } = world({ transport: "ws", budget: 1000 / 60 })
  client.follow("a", { tailRecords: 0, onBatch: () => {} })
  client.follow("b", { tailRecords: 10, budget: "1.9ms", onBatch: () => {} })
  await settle()
  FakeSocket.last.welcome()
  await settle()
  assert.deepEqual(FakeSocket.last.sent.at(-1)!.channels, [{ channel: "a", budget: 16, tailRecords: 0 }, { channel: "b", budget: 1, tailRecords: 10 }])
  for (const budget of ["soon", -0.5, NaN]) assert.throws(() => client.follow("c", { budget }), { code: "invalid_parameter" }, String(budget))
  for (const tailRecords of [1.5, -1, NaN, Infinity, "5", null]) {
    assert.throws(() => client.follow("c", { tailRecords: tailRecords as number }), { code: "invalid_parameter" }, String(tailRecords))
  }
  client.close()
  await clock.pass(0)
})

test("budgets and needs", () => {
  assert.deepEqual(["250ms", "2s", "1.5m", "1h0m0.5s", 30, undefined].map(milliseconds), [250, 2000, 90_000, 3_600_500, 30, 0])
  for (const none of ["soon", "5", "2 s", "-1s", "s"]) assert.ok(Number.isNaN(milliseconds(none)), none)
  const of = (...budgets: number[]): string | undefined => needOf(budgets.map((budget) => ({ budget })), false)
  assert.deepEqual([of(), of(0), of(2000), of(3000, 100), of(0, 0, 0), of(0, 0, 0, 0)], [undefined, "sse", "poll", "sse", "sse", "ws"])
  assert.equal(needOf([{ budget: 5000 }], true), "ws", "who writes")
  assert.equal(needOf([{ budget: 0, advice: { transport: "poll" } }], false), "poll", "the server knows better")
  assert.equal(needOf([{ budget: 0, advice: { transport: "ws" } }], false), "ws")
})

test("a silent event stream is taken for buffered, remembered, and tried again beside the long polls", async () => {
  const { clock, server, client, url } = world()
  const got = values(client, "a", { offset: "-1" })
  await settle()
  assert.equal(server.next().url.searchParams.get("live"), "sse")
  await clock.pass(1999)
  assert.equal(server.waiting, 0)
  await clock.pass(2)
  const first = server.next()
  assert.equal(first.url.searchParams.get("live"), null, "the first is answered at once")
  first.answer(200, JSON.stringify([subscribed("a", 0, false), data("a", 0, 2)]))
  await settle()
  assert.deepEqual([got, client.status.transport], [[1, 2], "long-poll"])
  let waiting = server.next()
  assert.deepEqual([waiting.url.searchParams.get("live"), waiting.url.searchParams.get("offset")], ["long-poll", offset(2)])

  // Another client of the same place does not even try.
  const other = world({ url })
  values(other.client, "a")
  await settle()
  assert.equal(other.server.next().url.searchParams.get("live"), null)
  other.client.close()

  // After five minutes it climbs, while the long poll goes on.
  for (let i = 0; i < 15; i++) {
    await clock.pass(20_000)
    if (i < 14) {
      waiting.answer(204)
      await clock.pass(0)
      waiting = server.next()
    }
  }
  await clock.pass(1001)
  const beside = server.next()
  assert.equal(beside.url.searchParams.get("live"), "sse")
  waiting.answer(200, JSON.stringify([data("a", 2, 3)]))
  await settle()
  assert.deepEqual([got, client.status.transport], [[1, 2, 3], "long-poll"])
  waiting = server.next()
  const stream = beside.stream()
  stream.write(": twohop\n\n")
  await settle()
  assert.ok(waiting.signal.aborted, "the old one is dropped when the new one stands")
  assert.equal(client.status.transport, "sse")
  // It was asked for from 2 on, and brings 3 again together with 4: so it is asked anew, from 3.
  stream.write(event(subscribed("a", 2, false), data("a", 2, 4)))
  await clock.pass(20)
  const anew = server.next()
  assert.equal(anew.url.searchParams.get("offset"), offset(3))
  const again = anew.stream()
  again.write(event(subscribed("a", 3, false), data("a", 3, 5)))
  await settle()
  assert.deepEqual(got, [1, 2, 3, 4, 5])
  client.close()
  await settle()
  assert.deepEqual(clock.waits, [])
})

test("silence of 2.5 heartbeats means that the connection is dead", async () => {
  const { clock, server, client } = world({ transport: "sse" })
  values(client, "a")
  await settle()
  const stream = server.next().stream()
  stream.write(": twohop\n\n")
  await clock.pass(30_000)
  stream.write(": \n\n")
  await clock.pass(37_499)
  assert.equal(client.status.state, "open")
  await clock.pass(1)
  assert.equal(client.status.state, "waiting")
  assert.match(client.status.lastError!.message, /37.5 s/)
  await clock.pass(1000)
  server.next().stream().write(": \n\n")
  await settle()
  assert.equal(client.status.reconnects, 1)
  client.close()
})

test("a server of slow heartbeats is waited for", async () => {
  for (const [told, patience] of [["1m0s", 150_000], ["1h0m0.5s", 9_001_250], ["10s", 37_500], ["soon", 37_500]] as const) {
    const { clock, server, client } = world({ transport: "sse" })
    values(client, "a")
    await settle()
    server.next().stream({ "Stream-Heartbeat": told }).write(": twohop\n\n")
    await clock.pass(patience - 1)
    assert.equal(client.status.state, "open", told)
    await clock.pass(1)
    assert.equal(client.status.state, "waiting", told)
    client.close()
  }
})

test("a WebSocket is dead after 2.5 of the heartbeats that it was told", async () => {
  const { clock, client } = world({ transport: "ws" })
  values(client, "a")
  await settle()
  FakeSocket.last.say({ type: "welcome", heartbeat: 4000, maxChannels: 10, maxMessage: 1000 })
  await clock.pass(9999)
  assert.equal(client.status.state, "open")
  await clock.pass(1)
  assert.equal(client.status.state, "waiting")
  assert.ok(FakeSocket.last.closed)
  client.close()
})

test("what fails is tried again with growing waits; Retry-After, retry: and drains are obeyed", async () => {
  const { clock, server, client } = world({ transport: "sse" })
  values(client, "a")
  await settle()
  for (const wait of [1000, 2000, 4000]) {
    server.next().fail()
    await settle()
    assert.equal(clock.waits[0], wait)
    await clock.pass(wait)
  }
  server.next().answer(503, '{"code":"unavailable","message":"m","hint":"h"}', { "Retry-After": "7" })
  await settle()
  assert.equal(clock.waits[0], 7000 + 8000)
  assert.equal((client.status.lastError as TwohopError).code, "unavailable")
  await clock.pass(15_000)
  let stream = server.next().stream()
  stream.write("retry: 300\n\n" + event(subscribed("a", 1), data("a", 1, 2)))
  stream.end()
  await settle()
  assert.equal(clock.waits[0], 300, "a clean end")
  await clock.pass(300)
  stream = server.next().stream()
  stream.write(event(subscribed("a", 2), { type: "drain", delay: 4321 }))
  stream.end()
  await settle()
  assert.equal(clock.waits[0], 4321, "a drain")
  client.close()
})

test("the network comes and goes", async () => {
  const target = new EventTarget()
  Object.assign(globalThis, { addEventListener: target.addEventListener.bind(target), removeEventListener: target.removeEventListener.bind(target) })
  const { clock, server, client } = world({ transport: "sse" })
  values(client, "a", { offset: offset(1) })
  await settle()
  const stream = server.next().stream()
  stream.write(event(subscribed("a", 1)))
  await settle()
  target.dispatchEvent(new Event("offline"))
  assert.equal(client.status.state, "open", "until something fails")
  stream.fail()
  await settle()
  assert.equal(client.status.state, "offline")
  target.dispatchEvent(new Event("online"))
  assert.equal(client.status.state, "connecting", "at once")
  await settle()
  const next = server.next()
  next.stream().write(": \n\n")
  await settle()
  // A change of networks: the old connection may be dead, so a new one is made beside it.
  target.dispatchEvent(new Event("online"))
  await settle()
  const beside = server.next()
  assert.deepEqual([client.status.state, next.signal.aborted], ["open", false])
  beside.stream().write(": \n\n")
  await settle()
  assert.ok(next.signal.aborted)
  client.close()
  await clock.pass(0)
})

test("a page that is looked at again does not wait for the next try", async () => {
  const target = new EventTarget()
  const page = { hidden: true }
  Object.assign(globalThis, { addEventListener: target.addEventListener.bind(target), document: page })
  const { server, client } = world({ transport: "sse" })
  values(client, "a")
  await settle()
  server.next().fail()
  await settle()
  target.dispatchEvent(new Event("visibilitychange"))
  assert.equal(client.status.state, "waiting", "it was hidden")
  page.hidden = false
  target.dispatchEvent(new Event("visibilitychange"))
  assert.equal(client.status.state, "connecting")
  client.close()
  await settle()
  target.dispatchEvent(new Event("visibilitychange"))
  assert.equal(client.status.state, "closed")
})

test("what is left and followed anew in one turn is followed as the second one says", async () => {
  for (const transport of ["ws", "sse", "long-poll"] as const) {
    const { clock, server, client } = world({ transport })
    const f = client.follow("a", { offset: offset(1), onBatch: () => {} })
    await settle()
    if (transport === "ws") {
      FakeSocket.last.welcome()
      await settle()
      FakeSocket.last.say({ ...subscribed("a", 1), budget: 0 })
    } else if (transport === "sse") server.next().stream().write(event({ ...subscribed("a", 1), budget: 0 }))
    else server.next().answer(200, "[]")
    await settle()
    if (transport === "long-poll") server.next() // waits

    f.close()
    const got: unknown[] = []
    const g = client.follow("a", { offset: "-1", budget: 500, onBatch: (b) => got.push(...b.records) })
    await clock.pass(20)
    const frames = [{ ...subscribed("a", 0, false), budget: 500 }, data("a", 0, 2)]
    if (transport === "ws") {
      assert.deepEqual(FakeSocket.last.sent.slice(-2), [
        { type: "unsubscribe", channels: ["a"] }, { type: "subscribe", id: 2, channels: [{ channel: "a", offset: "-1", budget: 500 }] },
      ])
      FakeSocket.last.say({ type: "unsubscribed", channel: "a", offset: offset(1) })
      for (const frame of frames) FakeSocket.last.say(frame)
    } else {
      const r = server.next()
      assert.deepEqual([r.url.searchParams.get("offset"), r.url.searchParams.get("budget")], ["-1", "500ms"], transport)
      if (transport === "sse") r.stream().write(event(...frames))
      else r.answer(200, JSON.stringify(frames))
    }
    await settle()
    assert.deepEqual([got, g.budget], [[1, 2], 500], transport)
    client.close()
    await clock.pass(0)
  }
})

test("changes of the list of an event stream come together", async () => {
  const { clock, server, client } = world({ transport: "sse" })
  values(client, "a", { offset: offset(1) })
  await settle()
  const first = server.next()
  first.stream().write(event(subscribed("a", 1), data("a", 1, 2)))
  await settle()
  values(client, "b")
  await clock.pass(10)
  const c = client.follow("c", { budget: "250ms", onBatch: () => {} })
  await clock.pass(20)
  const second = server.next()
  assert.ok(first.signal.aborted)
  assert.equal(second.url.search, `?live=sse&channel=a&offset=${offset(2)}&channel=b&offset=now&channel=c&offset=now&budget=250ms`)
  second.stream().write(event(subscribed("a", 2), subscribed("b", 5), { ...subscribed("c", 7), budget: 250 }))
  await settle()
  assert.equal(c.budget, 250)
  c.close()
  await clock.pass(20)
  assert.equal(server.next().url.searchParams.getAll("channel").join(), "a,b")
  client.close()
})

/** A second follower of a channel, which reads on its own; and the request of its first page. */
async function joiner(token?: ConnectOptions["token"]): Promise<ReturnType<typeof world> & { f: Follower; got: unknown[]; page: FakeRequest; alive(): void }> {
  const w = world({ transport: "sse", token })
  values(w.client, "a", { offset: offset(5) })
  await settle()
  const stream = w.server.next().stream()
  stream.write(event(subscribed("a", 5)))
  await settle()
  const got: unknown[] = []
  const f = w.client.follow("a", { offset: offset(3), onBatch: (b) => got.push(...b.records) })
  await settle()
  return { ...w, f, got, page: w.server.next(), alive: () => stream.write(": \n\n") }
}
const aPage = { "Content-Type": "application/json", "Stream-Next-Offset": offset(5), "Stream-Up-To-Date": "true" }

test("close() ends those too who read on their own", async () => {
  const { clock, server, client, f } = await joiner()
  const g = client.follow("a", { offset: offset(2), onBatch: () => {} })
  await settle()
  client.close()
  await Promise.all([f.done, g.done])
  await clock.pass(60_000)
  assert.ok(server.requests.every((r) => r.signal.aborted))
  assert.equal(server.requests.length, 3)
  assert.deepEqual(clock.waits, [])
})

test("a page that does not come is asked for again", async () => {
  const { clock, server, client, got, page, alive } = await joiner()
  await clock.pass(30_000)
  alive()
  await clock.pass(29_999)
  assert.equal(page.signal.aborted, false)
  await clock.pass(1)
  assert.equal(page.signal.aborted, true)
  alive()
  await clock.pass(1000)
  server.next().answer(200, "[4,5]", aPage)
  await settle()
  assert.deepEqual(got, [4, 5])
  client.close()
  await clock.pass(0)
  assert.deepEqual(clock.waits, [])
})

test("who reads on its own asks for a fresh token, too", async () => {
  const { clock, server, client, got, page } = await joiner(() => "t")
  page.answer(401, '{"code":"token_expired","message":"m","hint":"h"}')
  await clock.pass(1000)
  server.next().answer(200, "[4,5]", aPage)
  await settle()
  assert.deepEqual(got, [4, 5])
  client.close()

  const fixed = await joiner("t")
  fixed.page.answer(401, '{"code":"token_expired","message":"m","hint":"h"}')
  await assert.rejects(fixed.f.done, { code: "token_expired" })
  fixed.client.close()
  await fixed.clock.pass(0)
})

test("who reads on its own is not answered without end by a server that drains, nor told of nothing", async () => {
  const { clock, server, client, f, got, page, alive } = await joiner()
  f.close()
  const batches: Batch[] = []
  const g = client.follow("a", { offset: offset(3), onBatch: (b) => batches.push(b) })
  await settle()
  page.answer(204)
  const at4 = { ...aPage, "Stream-Next-Offset": offset(4) }
  server.next().answer(200, "[4]", at4)
  await settle()
  assert.deepEqual(batches.map((b) => [b.records, b.upToDate]), [[[4], true]])
  for (let i = 0; i < 3; i++) {
    const r = server.next()
    assert.equal(r.url.searchParams.get("live"), "long-poll")
    r.answer(204, "", at4)
    await clock.pass(999)
    assert.equal(server.waiting, 0, "it waits for the rest of a second")
    await clock.pass(1)
  }
  await clock.pass(20_000)
  alive()
  server.next().answer(204, "", at4)
  await clock.pass(0)
  assert.equal(batches.length, 1)
  const last = server.next() // at once, after a long poll that took its time
  last.answer(204, "", { ...at4, "Stream-Closed": "true" })
  await g.done
  assert.deepEqual([batches.length, batches[1]!.closed, got], [2, true, []])
  client.close()
  await clock.pass(0)
  assert.deepEqual(clock.waits, [])
})

const zeros = "0000000000000000_0000000000000000"

test("who stands in a log does not share the wait for the channel", async () => {
  const { clock, server, client } = world({ transport: "ws" })
  const waits = values(client, "a")
  await settle()
  const socket = FakeSocket.last
  socket.welcome()
  await settle()
  socket.say({ ...subscribed("a", 0), offset: zeros, waiting: true })
  // It is created: who published has the offset before the waiting one has the records.
  const after = values(client, "a", { offset: offset(1) })
  const now = values(client, "a")
  const start = values(client, "a", { offset: "-1" })
  await settle()
  socket.say(subscribed("a", 0, false))
  socket.say(data("a", 0, 1))
  socket.say(data("a", 1, 2))
  await settle()
  assert.deepEqual([waits, now, start, after], [[1, 2], [1, 2], [1, 2], [2]])
  assert.equal(server.requests.length, 1, "only the one that does not wait reads on its own")
  client.close()
  await clock.pass(0)
})

test("the beginning of any log is a place of its own in a channel that is there", async () => {
  const { clock, server, client } = world({ transport: "ws" })
  const all = values(client, "a", { offset: zeros })
  const now = values(client, "a")
  await settle()
  FakeSocket.last.welcome()
  await settle()
  FakeSocket.last.say(subscribed("a", 0, false))
  FakeSocket.last.say(data("a", 0, 5))
  await settle()
  assert.deepEqual([all, now], [[1, 2, 3, 4, 5], []])
  server.next().answer(200, "[]", aPage)
  await settle()
  FakeSocket.last.say(data("a", 5, 6))
  assert.deepEqual([all.at(-1), now], [6, [6]])
  client.close()
  await clock.pass(0)
})

test("who reads on its own is not ended by the deletion that it has not come to", async () => {
  const { clock, server, client } = world({ transport: "ws" })
  const first = client.follow("a", { offset: offset(5), onBatch: () => {} })
  await settle()
  const socket = FakeSocket.last
  socket.welcome()
  await settle()
  socket.say(subscribed("a", 5))
  const resets: string[] = []
  const second = client.follow("a", { offset: offset(3), onBatch: () => {}, onReset: (r) => resets.push(r.reason) })
  await settle()
  socket.say({ type: "reset", channel: "a", offset: zeros, reason: "deleted", start: zeros, tail: zeros })
  await first.done
  await settle()
  // It goes on where it stands, and is told there what became of the channel.
  const subscribe = socket.sent.at(-1)!
  assert.deepEqual([subscribe.type, subscribe.channels], ["subscribe", [{ channel: "a", budget: 0, offset: offset(3) }]])
  socket.say(subscribed("a", 3, false))
  socket.say({ type: "reset", channel: "a", offset: "1790000000000001_" + "0".repeat(16), reason: "epoch" })
  assert.deepEqual(resets, ["epoch"])
  second.close()
  assert.ok(server.requests.every((r) => r.signal.aborted))
  client.close()
  await clock.pass(0)
})

/** The 404 of what stands before servers and has none just now. */
const balancers = ["default backend - 404", '{"message":"no Route matched with those values"}', '{"code":404}']

test("a balancer that has no server ends nothing; a channel that is not there does", async () => {
  for (const transport of ["sse", "long-poll", "poll"] as const) {
    const { clock, server, client } = world({ transport })
    const f = client.follow("a", { offset: offset(1), onBatch: () => {} })
    await settle()
    const { pathname, search } = server.requests[0]!.url
    let wait = 500
    for (const body of balancers) {
      server.next().answer(404, body)
      await settle()
      assert.deepEqual([client.status.state, (client.status.lastError as TwohopError).status], ["waiting", 404], transport)
      await clock.pass((wait *= 2))
    }
    const r = server.next()
    assert.deepEqual([r.url.pathname, r.url.search], [pathname, search], transport)
    r.answer(404, '{"code":"not_found","message":"m","hint":"h"}')
    await assert.rejects(f.done, { code: "not_found" }, transport)
    client.close()
    await clock.pass(0)
  }

  // auto does not take it for a transport that does not get through.
  const { clock, server, client } = world()
  values(client, "a")
  await settle()
  server.next().answer(404, balancers[0])
  await clock.pass(1000)
  assert.equal(server.next().url.searchParams.get("live"), "sse")
  client.close()
  await clock.pass(0)
})

test("polls: a channel that is gone ends its followers only", async () => {
  const { clock, server, client } = world({ transport: "poll" })
  const [a, b] = ["a", "b"].map((channel) => client.follow(channel, { offset: offset(1), onBatch: () => {} }))
  await settle()
  server.next().answer(410, '{"code":"gone","message":"m","hint":"h"}')
  server.next().answer(200, "[2]", { "Content-Type": "application/json", "Stream-Next-Offset": offset(2), "Stream-Up-To-Date": "true" })
  await assert.rejects(a!.done, { code: "gone" })
  await settle()
  assert.deepEqual([b!.offset, client.status.state], [offset(2), "open"])
  client.close()
  await clock.pass(0)
})

test("polls: what is wrong with one channel ends its followers only", async () => {
  const { clock, server, client } = world({ transport: "poll" })
  const page = { "Content-Type": "application/json", "Stream-Next-Offset": offset(2), "Stream-Up-To-Date": "true" }
  const follow = (channel: string, place: string): Follower => client.follow(channel, { offset: place, onBatch: () => {} })
  const bad = (channel: string): string => JSON.stringify({ code: "invalid_offset", message: "m", hint: "h", channel })
  const good = follow("good", offset(1))
  // Each is asked for by itself.
  const form = follow("form", "bad_1")
  const proxied = follow("proxied", offset(1))
  await settle()
  server.next().answer(200, "[2]", page)
  server.next().answer(400, bad("form"))
  server.next().answer(403, "<html>not this one")
  await assert.rejects(form.done, { code: "invalid_offset", message: "m", hint: "h" })
  await assert.rejects(proxied.done, { code: "invalid_request" })
  await settle()
  assert.deepEqual([good.offset, client.status.state], [offset(2), "open"])

  // All of one request are bad, and its answer tells of the first.
  const junk = [follow("junk", "junk"), follow("more", "junk")]
  await clock.pass(20)
  const channels = (r: FakeRequest): unknown => (assert.equal(r.url.pathname, "/v1/subscribe"), r.url.searchParams.getAll("channel"))
  const both = server.next()
  assert.deepEqual(channels(both), ["junk", "more"])
  both.answer(400, bad("junk"))
  await assert.rejects(junk[0]!.done, { code: "invalid_offset" })
  await clock.pass(1000)
  while (server.waiting > 1) server.next().answer(200, "[]", page)
  const one = server.next()
  assert.deepEqual(channels(one), ["more"])
  one.answer(400, '{"code":"invalid_offset","message":"m","hint":"h"}')
  await assert.rejects(junk[1]!.done, { code: "invalid_offset" })
  await settle()
  assert.equal(client.status.state, "open")

  // What is wrong with the request ends all that is followed.
  const last = [follow("x", "-1"), follow("y", "-1")]
  await clock.pass(20)
  while (server.waiting > 1) server.next().answer(200, "[]", page)
  server.next().answer(403, '{"code":"host_not_allowed","message":"m","hint":"h"}')
  for (const f of [good, ...last]) await assert.rejects(f.done, { code: "host_not_allowed" })
  client.close()
  await clock.pass(0)
})

test("polls: a refusal by something on the way ends what is followed, whatever its code", async () => {
  const { clock, server, client } = world({ transport: "poll" })
  const f = client.follow("a", { offset: offset(1), onBatch: () => {} })
  await settle()
  server.next().answer(401, '{"code":"unauthorized","message":"m","hint":"h"}')
  await assert.rejects(f.done, { code: "unauthorized", status: 401 })
  client.close()
  await clock.pass(0)
})

test("tokens: a header for requests, a parameter for the handshake, frames to refresh", async () => {
  let n = 0
  const { clock, server, client } = world({ token: () => "t" + ++n })
  values(client, "a")
  await settle()
  const r = server.next()
  assert.equal(r.headers.Authorization, "Bearer t1")
  r.answer(401, '{"code":"token_expired","message":"m","hint":"h"}')
  await clock.pass(1000)
  const again = server.next()
  assert.equal(again.headers.Authorization, "Bearer t2", "a new one, after one that has run out")
  again.stream().write(": \n\n")
  await settle()
  client.transport = "ws"
  await settle()
  assert.equal(FakeSocket.last.url.split("?")[1], "token=t3")
  assert.equal(FakeSocket.last.protocol, "twohop.v1")
  FakeSocket.last.welcome()
  await settle()
  const tokens = (): unknown[] => FakeSocket.last.sent.filter((f) => f.type === "token").map((f) => f.token)
  assert.deepEqual(tokens(), ["t4"])
  FakeSocket.last.say({ type: "token", expires: 10_000 })
  await clock.pass(8000)
  assert.deepEqual(tokens(), ["t4", "t5"])
  client.close()

  const fixed = world({ token: "x" })
  const f = fixed.client.follow("a")
  await settle()
  fixed.server.next().answer(401, '{"code":"token_invalid","message":"m","hint":"h"}')
  await assert.rejects(() => f[Symbol.asyncIterator]().next(), { code: "token_invalid", hint: "h", status: 401 })
  assert.equal(fixed.client.status.state, "idle")
})

test("a publish is repeated under its key until it is answered, and nothing overtakes it", async () => {
  const { clock, server, client } = world()
  const one = client.publish("a", 1)
  const more = [2, 3].map((n) => client.publish("a", n))
  const exact = client.publish("a", [4, 5], { ifMatch: offset(3) })
  const other = client.publish("b/ä", "x", { contentType: "text/plain" })
  await settle()
  const r = server.next()
  assert.deepEqual([r.url.pathname, r.method, r.body], ["/v1/stream/a", "POST", "[1]"])
  const b = server.next()
  assert.deepEqual([b.url.pathname, b.headers["Content-Type"], b.body], ["/v1/stream/b/%C3%A4", "text/plain", "x"])
  b.answer(204, "", { "Stream-Next-Offset": offset(1), "Stream-Durability": "disk", "Stream-Readers": "3", "Stream-Duplicate": "true" })
  assert.deepEqual(await other, { offset: offset(1), durability: "disk", readers: 3, duplicate: true })
  r.fail()
  await clock.pass(1000)
  const again = server.next()
  assert.deepEqual([again.headers["Idempotency-Key"], again.body], [r.headers["Idempotency-Key"], "[1]"])
  again.answer(503, '{"code":"unknown_outcome","message":"m","hint":"h"}', { "Retry-After": "2" })
  await clock.pass(3999)
  assert.equal(server.waiting, 0)
  await clock.pass(1)
  server.next().answer(204, "", { "Stream-Next-Offset": offset(1), "Stream-Readers": "0" })
  assert.equal((await one).offset, offset(1))
  await settle()
  const batch = server.next()
  assert.equal(batch.body, "[2,3]", "what came meanwhile goes together")
  batch.answer(204, "", { "Stream-Next-Offset": offset(3) })
  assert.deepEqual((await Promise.all(more)).map((p) => p.offset), [offset(3), offset(3)])
  await settle()
  const cond = server.next()
  assert.deepEqual([cond.headers["If-Match"], cond.body], [offset(3), "[4,5]"])
  cond.answer(412, '{"code":"tail_moved","message":"m","hint":"h"}', { "Stream-Next-Offset": offset(9) })
  await assert.rejects(exact, { code: "tail_moved", offset: offset(9) })

  // A condition that went wrong before is the server's to refuse, not ours to forget.
  const empty = ["ifMatch", "idempotencyKey"].map((what) => client.publish("a", what, { [what]: "" }))
  for (const [name, p] of [["If-Match", empty[0]!], ["Idempotency-Key", empty[1]!]] as const) {
    await settle()
    const r = server.next()
    assert.equal(r.headers[name], "")
    r.answer(400, '{"code":"invalid_header","message":"m","hint":"h"}')
    await assert.rejects(p, { code: "invalid_header" })
  }

  const late = client.publish("a", 6, { timeout: 5000 })
  const rejected = assert.rejects(late, { code: "unknown_outcome", retry: true })
  for (let i = 0; i < 5; i++) {
    await settle()
    if (server.waiting) server.next().fail()
    await clock.pass(4000)
  }
  await rejected
  client.close()
  assert.deepEqual(clock.waits, [])
})

/** AbortSignal.timeout() by the test's clock. */
const timeouts = (t: TestContext, clock: VirtualClock): void =>
  void t.mock.method(AbortSignal, "timeout", (ms: number) => {
    if (ms !== Math.floor(ms)) throw new RangeError("not whole milliseconds: " + ms)
    const c = new AbortController()
    clock.set(() => c.abort(new DOMException("too late", "TimeoutError")), ms)
    return c.signal
  })

test("a publish has time for its bytes, and is not repeated when that would be too late", async (t) => {
  const { clock, server, client } = world()
  timeouts(t, clock)
  const bytes = new Uint8Array((10 << 20) + 7)
  const patience = 30_000 + bytes.length / 64
  const p = client.publish("a", bytes)
  await clock.pass(patience - 1)
  const r = server.next()
  assert.equal(r.signal.aborted, false)
  r.answer(204, "", { "Stream-Next-Offset": offset(1) })
  await p

  // The server knows the key for 5 min, and the last try may take its time too.
  for (const value of [bytes, new Uint8Array(7)]) {
    const begun = clock.time
    let last = 0
    const over = assert.rejects(client.publish("a", value, { timeout: 3_600_000 }), { code: "unknown_outcome" })
    while (clock.time < begun + 400_000) {
      await settle()
      if (server.waiting) {
        last = clock.time - begun
        server.next().fail()
      }
      await clock.pass(1000)
    }
    await over
    const latest = 270_000 - value.length / 64
    assert.ok(last > latest - 31_000 && last <= latest, `${last} of ${latest}`)
  }
  client.close()
})

test("a token that does not come holds up one try only", async (t) => {
  let asked = 0
  const { clock, server, client } = world({ token: () => (asked++ ? "t" : new Promise<string>(() => {})) })
  timeouts(t, clock)
  const p = client.publish("a", 1)
  await clock.pass(29_999)
  assert.equal(server.waiting, 0)
  await clock.pass(1001)
  const r = server.next()
  assert.equal(r.headers.Authorization, "Bearer t")
  r.answer(204, "", { "Stream-Next-Offset": offset(1) })
  await p
  client.close()
})

test("only what the server says of a publish is its answer", async () => {
  const { clock, server, client } = world()
  const p = client.publish("a", 1)
  const others: [number, string, Record<string, string>][] = [
    [200, "<html>log in", { "Content-Type": "text/html" }],
    [200, "[]", { "Content-Type": "application/json", "Stream-Next-Offset": offset(0), "Stream-Up-To-Date": "true" }], // a redirect made a GET of it
    [204, "", {}],
  ]
  let wait = 500
  for (const answer of others) {
    await settle()
    server.next().answer(...answer)
    await clock.pass((wait *= 2))
  }
  const r = server.next()
  assert.deepEqual([r.method, r.body], ["POST", "[1]"])
  r.answer(204, "", { "Stream-Next-Offset": offset(1) })
  assert.equal((await p).offset, offset(1))
  client.close()
})

test("a name with . or .. for a segment is refused, and no request of another channel is made of it", async () => {
  const { clock, server, client } = world({ transport: "ws" })
  for (const name of ["rooms/../admin", "..", "../a", "./a", "a/."]) {
    await assert.rejects(client.publish(name, 1), { code: "invalid_name", retry: false }, name)
  }
  for (const name of ["a..b/.c", ".../..d", "%2e%2e/e"]) {
    const p = client.publish(name, 1)
    await settle()
    const r = server.next()
    assert.equal(decodeURIComponent(r.url.pathname), "/v1/stream/" + name)
    r.answer(204, "", { "Stream-Next-Offset": offset(1) })
    await p
  }
  // Nor is it read from there.
  values(client, "rooms/../admin")
  await assert.rejects(client.follow("rooms/../admin", { offset: "-1" }).done, { code: "invalid_name" })
  assert.equal(server.waiting, 0)
  client.close()
  await clock.pass(0)
})

test("what a WebSocket did not answer goes out again over what comes next", async () => {
  const { clock, server, client } = world({ transport: "ws" })
  values(client, "a", { offset: offset(1) })
  await settle()
  FakeSocket.last.welcome()
  await settle()
  const p = client.publish("a", 1)
  const big = client.publish("b", "y".repeat(400_000))
  await settle()
  const sent = FakeSocket.last.sent.at(-1)!
  assert.deepEqual([sent.type, sent.records], ["publish", [1]])
  assert.equal(server.next().url.pathname, "/v1/stream/b", "too large for a message")
  FakeSocket.last.end()
  await settle()
  const r = server.next()
  assert.deepEqual([r.body, r.headers["Idempotency-Key"]], ["[1]", sent.idempotencyKey])
  r.answer(204, "", { "Stream-Next-Offset": offset(2), "Stream-Duplicate": "true" })
  assert.equal((await p).duplicate, true)
  client.close()
  await assert.rejects(big, { code: "unknown_outcome" })
  await clock.pass(0)
})

/** What the server says of a publish that it did not take. */
const full = '{"code":"storage_full","message":"m","hint":"h"}'

test("a publish whose time is over says whether it may have been taken", async () => {
  const outcomes: [code: string, ...tries: ((r: FakeRequest) => void)[]][] = [
    ["unknown_outcome", (r) => r.fail()],
    ["unknown_outcome", (r) => r.answer(502, "<html>bad gateway")],
    ["unknown_outcome", (r) => r.answer(503, '{"code":"unknown_outcome","message":"m","hint":"h"}'), (r) => r.answer(507, full)],
    ["unknown_outcome", (r) => r.fail(), (r) => r.answer(507, full)],
    ["storage_full", (r) => r.answer(507, full)],
    ["unavailable", (r) => r.answer(404, balancers[0])],
    ["unavailable", (r) => r.answer(429, "slow down")],
    ["invalid_request", (r) => r.answer(501, "no POST here")],
    ["tail_moved", (r) => r.fail(), (r) => r.answer(412, '{"code":"tail_moved","message":"m","hint":"h"}')],
  ]
  for (const [code, ...tries] of outcomes) {
    const { clock, server, client } = world()
    const p = client.publish("a", 1, { timeout: 5000 })
    let got: unknown
    p.catch((e: TwohopError) => (got = e.code))
    for (let i = 0; got === undefined && i < 10; i++) {
      await settle()
      if (server.waiting) tries[Math.min(i, tries.length - 1)]!(server.next())
      await clock.pass(i < 3 ? 1000 * 2 ** i : 4000)
    }
    assert.equal(got, code)
    client.close()
    await clock.pass(0)
    assert.deepEqual(clock.waits, [])
  }

  // What was never sent was not taken.
  const { clock, server, client } = world({ token: () => Promise.reject(new Error("logged out")) })
  const p = assert.rejects(client.publish("a", 1, { timeout: 5000 }), { code: "unavailable", message: /logged out/ })
  await clock.pass(20_000)
  await p
  assert.equal(server.waiting, 0)
  client.close()
})

test("after its time a publish is not sent again, over whatever comes next", async () => {
  const { clock, server, client } = world({ transport: "ws" })
  values(client, "a", { offset: offset(1) })
  await settle()
  FakeSocket.last.welcome()
  await settle()
  const frozen = assert.rejects(client.publish("a", 1), { code: "unknown_outcome", message: /WebSocket/ })
  await settle()
  assert.equal(FakeSocket.last.sent.at(-1)!.type, "publish")
  clock.time += 600_000 // the computer sleeps: no timer fires
  FakeSocket.last.end()
  await frozen
  await clock.pass(2000)
  FakeSocket.last.welcome()
  await settle()
  assert.deepEqual([server.waiting, FakeSocket.last.sent.some((f) => f.type === "publish")], [0, false])

  // The pause between two tries may be where it sleeps.
  client.close()
  const next = world()
  const p = assert.rejects(next.client.publish("a", 1), { code: "unknown_outcome" })
  await settle()
  next.server.next().fail()
  await settle()
  next.clock.time += 600_000
  await next.clock.pass(1)
  await p
  assert.equal(next.server.waiting, 0)
  next.client.close()
  await clock.pass(0)
})

test("no publish is repeated when the server has forgotten its key, whatever its timeout", async () => {
  const { clock, server, client } = world()
  const begun = clock.time
  let last = 0
  const p = assert.rejects(client.publish("a", 1, { timeout: 3_600_000 }), { code: "unknown_outcome" })
  while (clock.time < begun + 900_000) {
    await settle()
    if (server.waiting) {
      last = clock.time
      server.next().fail()
    }
    await clock.pass(1000)
  }
  await p
  assert.ok(last > begun + 200_000 && last <= begun + 270_000, String(last - begun))

  // Nor when the server asks for a wait that ends too late.
  const asked = assert.rejects(client.publish("a", 1, { timeout: 3_600_000 }), { code: "unknown_outcome" })
  await settle()
  server.next().answer(503, "<html>", { "Retry-After": "300" })
  await clock.pass(302_000)
  await asked
  assert.equal(server.waiting, 0)
  client.close()
})

test("of a batch those are given up whose time is over; the others go on, as it was sent", async () => {
  const { clock, server, client } = world()
  const first = client.publish("a", 1)
  const short = client.publish("a", 2, { timeout: 5000 })
  const long = client.publish("a", 3)
  await settle()
  server.next().answer(204, "", { "Stream-Next-Offset": offset(1) })
  await first
  let over = ""
  short.catch((e: TwohopError) => (over = e.code))
  const next = client.publish("a", 4)
  const keys = new Set<string>()
  for (let wait = 1000; wait < 30_000; wait *= 2) {
    await settle()
    const r = server.next()
    keys.add(r.headers["Idempotency-Key"]!)
    assert.equal(r.body, "[2,3]")
    assert.equal(over, wait > 4000 ? "unknown_outcome" : "")
    r.fail()
    await clock.pass(wait)
  }
  const r = server.next()
  assert.deepEqual([r.body, keys.has(r.headers["Idempotency-Key"]!), keys.size], ["[2,3]", true, 1])
  r.answer(204, "", { "Stream-Next-Offset": offset(3), "Stream-Duplicate": "true" })
  assert.deepEqual([(await long).offset, over], [offset(3), "unknown_outcome"])
  await settle()
  const after = server.next()
  assert.equal(after.body, "[4]")
  after.answer(204, "", { "Stream-Next-Offset": offset(4) })
  await next
  client.close()
  assert.deepEqual(clock.waits, [])
})

test("who is given up while others of the batch go on is not told that nothing was published", async () => {
  const { clock, server, client } = world()
  const first = client.publish("a", 1)
  const short = client.publish("a", 2, { timeout: 1500 })
  const long = client.publish("a", 3)
  await settle()
  server.next().answer(204, "", { "Stream-Next-Offset": offset(1) })
  await first
  const rejected = assert.rejects(short, { code: "unknown_outcome" })
  for (let i = 0; i < 2; i++) {
    await settle()
    server.next().answer(503, '{"code":"unavailable","message":"m","hint":"h"}') // in so many words: nothing was
    await clock.pass(2000)
  }
  await rejected
  await settle()
  const r = server.next()
  assert.equal(r.body, "[2,3]")
  r.answer(204, "", { "Stream-Next-Offset": offset(3) })
  await long
  client.close()
  await clock.pass(0)
})

test("a value is published as it was when it was given", async () => {
  const { clock, server, client } = world()
  const object = { n: 1 }
  const list = ["a", "b"]
  const bytes = new Uint8Array([1, 2])
  const all = [client.publish("a", object), client.publish("a", list), client.publish("a", new Date(0)), client.publish("a", [[1]])]
  const raw = client.publish("b", bytes)
  object.n = 2
  list.length = 0
  bytes[0] = 9
  await settle()
  const first = server.next()
  assert.equal(first.body, '[{"n":1}]')
  assert.deepEqual([...(server.next().body as unknown as Uint8Array)], [1, 2])
  first.fail()
  object.n = 3
  await clock.pass(1000)
  const again = server.next()
  assert.equal(again.body, first.body)
  again.answer(204, "", { "Stream-Next-Offset": offset(1) })
  await settle()
  const rest = server.next()
  assert.equal(rest.body, '["a","b","1970-01-01T00:00:00.000Z",[1]]')
  rest.answer(204, "", { "Stream-Next-Offset": offset(5) })
  await Promise.all(all)
  client.close()
  await assert.rejects(raw, { code: "unknown_outcome" })
  await assert.rejects(client.publish("a", 1n), TypeError)
})

test("close() says which publishes may have been taken", async () => {
  const { clock, server, client } = world()
  const all = [client.publish("a", 1), client.publish("a", 2), client.publish("b", 3)]
  const codes = Promise.all(all.map((p) => p.then(() => "taken", (e: TwohopError) => e.code)))
  await settle()
  server.next()
  server.next().fail()
  await settle()
  client.close()
  assert.deepEqual(await codes, ["unknown_outcome", "closed", "unknown_outcome"])
  await clock.pass(60_000)
  assert.equal(server.waiting, 0)
})

test("what has a key of its own goes alone", async () => {
  const { server, client } = world()
  const all = [client.publish("a", 1), client.publish("a", 2, { idempotencyKey: "k" }), client.publish("a", 3), client.publish("a", 4)]
  const bodies: unknown[] = []
  for (let n = 1; n < 4; n++) {
    await settle()
    const r = server.next()
    bodies.push([r.body, r.headers["Idempotency-Key"] === "k"])
    r.answer(204, "", { "Stream-Next-Offset": offset(n) })
  }
  assert.deepEqual(bodies, [["[1]", false], ["[2]", true], ["[3,4]", false]])
  await Promise.all(all)
  client.close()
})

test("what is given up before it was sent is not sent", async () => {
  const { server, client } = world()
  const stop = new AbortController()
  const { signal } = stop
  const early = client.publish("a", 0, { signal })
  stop.abort()
  await assert.rejects(early, { name: "AbortError" })

  const give = new AbortController()
  const o = { signal: give.signal }
  const all = [client.publish("a", 1, o), client.publish("a", 2), client.publish("a", 3, o), client.publish("a", 4, { ...o, close: true }), client.publish("a", 5)]
  await settle()
  const first = server.next()
  assert.equal(first.body, "[1]")
  give.abort()
  const results = Promise.allSettled(all)
  first.answer(204, "", { "Stream-Next-Offset": offset(1) })
  for (const body of ["[2]", "[5]"]) {
    await settle()
    const r = server.next()
    assert.equal(r.body, body)
    r.answer(204, "", { "Stream-Next-Offset": offset(2) })
  }
  assert.deepEqual((await results).map((r) => r.status), ["rejected", "fulfilled", "rejected", "rejected", "fulfilled"])

  const long = new AbortController()
  const p = client.publish("a", 6, { signal: long.signal })
  await settle()
  server.next().answer(204, "", { "Stream-Next-Offset": offset(3) })
  await p
  await settle()
  assert.deepEqual(getEventListeners(long.signal, "abort"), [])
  assert.equal(server.waiting, 0)
  client.close()
})

test("a WebSocket that fails beside the one that serves takes no publish with it", async () => {
  const target = new EventTarget()
  Object.assign(globalThis, { addEventListener: target.addEventListener.bind(target) })
  const { clock, server, client } = world({ transport: "ws" })
  const f = client.follow("a", { offset: offset(1), onBatch: () => {} })
  let ended = false
  void f.done.catch(() => (ended = true))
  await settle()
  const serving = FakeSocket.last
  serving.welcome()
  await settle()
  serving.say(subscribed("a", 1))
  const p = assert.rejects(client.publish("a", 1, { ifMatch: offset(9) }), { code: "tail_moved" })
  await settle()
  const { id } = serving.sent.at(-1)!
  target.dispatchEvent(new Event("online"))
  await settle()
  assert.notEqual(FakeSocket.last, serving)
  FakeSocket.last.end()
  await settle()
  assert.equal(server.waiting, 0, "it is still under way")
  serving.say({ type: "error", id, channel: "a", code: "tail_moved", message: "m", hint: "h" })
  await p
  // Nor is one that nobody waits for any more an error of what is followed.
  serving.say({ type: "error", id, channel: "a", code: "tail_moved", message: "m", hint: "h" })
  await settle()
  assert.equal(ended, false)
  client.close()
  await clock.pass(0)
})

test("a refused publish leaves the subscription as it is", async () => {
  const { clock, client } = world({ transport: "ws" })
  values(client, "b")
  const f = client.follow("a", { offset: offset(1), onBatch: () => {} })
  await settle()
  FakeSocket.last.welcome()
  await settle()
  FakeSocket.last.say(subscribed("a", 1))
  const p = assert.rejects(client.publish("a", 1, { ifMatch: offset(9) }), { code: "tail_moved" })
  await settle()
  FakeSocket.last.say({ type: "error", id: FakeSocket.last.sent.at(-1)!.id, channel: "a", code: "tail_moved", message: "m", hint: "h" })
  await p
  const frames = FakeSocket.last.sent.length
  f.close()
  await settle()
  assert.deepEqual(FakeSocket.last.sent.slice(frames), [{ type: "unsubscribe", channels: ["a"] }])
  client.close()
  await clock.pass(0)
})

test("a slow iterator is not fed beyond its measure, and loses nothing", async () => {
  const { clock, server, client } = world({ transport: "ws" })
  const f = client.follow("a", { offset: offset(0) })
  await settle()
  FakeSocket.last.welcome()
  await settle()
  FakeSocket.last.say(subscribed("a", 0, false))
  for (let i = 0; i < 300; i++) {
    FakeSocket.last.say(data("a", i, i + 1))
    await Promise.resolve()
  }
  await settle()
  assert.equal(client.status.state, "idle", "nobody wants more just now")
  const got: unknown[] = []
  for await (const b of f) {
    got.push(...b.records)
    if (got.length === 256) setImmediate(() => void play())
    if (got.length === 260) break
  }
  async function play(): Promise<void> {
    await settle()
    FakeSocket.last.welcome()
    await settle()
    const sub = FakeSocket.last.sent.find((s) => s.type === "subscribe")!
    assert.deepEqual((sub.channels as { offset: string }[])[0]!.offset, offset(256))
    FakeSocket.last.say(subscribed("a", 256, false))
    FakeSocket.last.say(data("a", 256, 260))
  }
  assert.deepEqual(got, Array.from({ length: 260 }, (_, i) => i + 1))
  client.close()
  assert.equal(server.waiting, 0)
  await clock.pass(0)
})

test("a closed channel leaves nothing behind, over any transport", async () => {
  for (const transport of ["sse", "long-poll", "poll"] as const) {
    const { clock, server, client } = world({ transport })
    const f = client.follow("a", { offset: offset(1), onBatch: () => {} })
    await settle()
    const r = server.next()
    const frame = data("a", 1, 2, { closed: true })
    if (transport === "sse") r.stream().write(event(subscribed("a", 1), frame))
    else if (transport === "long-poll") r.answer(200, JSON.stringify([frame]))
    else r.answer(200, "[2]", { "Content-Type": "application/json", "Stream-Next-Offset": offset(2), "Stream-Closed": "true" })
    await f.done
    await clock.pass(0)
    assert.equal(client.status.state, "idle", transport)
    assert.deepEqual(clock.waits, [], transport)
    client.close()
  }
})

test("an error of a callback ends its follower only", async () => {
  const { client } = world({ transport: "ws" })
  const bad = client.follow("a", { offset: offset(0), onBatch: () => { throw new Error("mine") } })
  const got = values(client, "b", { offset: offset(0) })
  await settle()
  FakeSocket.last.welcome()
  await settle()
  FakeSocket.last.say(subscribed("a", 0, false))
  FakeSocket.last.say(subscribed("b", 0, false))
  FakeSocket.last.say(data("a", 0, 1))
  FakeSocket.last.say(data("b", 0, 1))
  await assert.rejects(bad.done, { message: "mine" })
  assert.deepEqual(got, [1])
  client.close()
})
