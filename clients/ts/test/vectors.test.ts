// The conversations of test/vectors, played to the client by a socket.

import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"
import { Client } from "../src/client.js"
import { TwohopError } from "../src/errors.js"
import type { Follower } from "../src/follower.js"
import { transports } from "../src/transports.js"
import type { Batch } from "../src/types.js"
import { FakeServer, FakeSocket, settle, subscribed, VirtualClock } from "./world.js"

interface Sub {
  channel: string
  offset?: string
  budget?: number
}
interface Client1 {
  type: string
  id?: unknown
  channels?: (Sub | string)[]
  channel?: string
  [k: string]: unknown
}
type Step =
  | { W: Record<string, unknown> } // what others do at the server is not this test's
  | { C: Client1 }
  | { S: Record<string, unknown> }
  | { cut: true }
  | { got: unknown[][] }
  | { stands: Record<string, string | null> }
  | { published: Record<string, Record<string, unknown>> }

const conversations = JSON.parse(readFileSync("../../test/vectors/conversations.json", "utf8")) as { name: string; steps: Step[] }[]
assert.ok(conversations.length > 15)

const gotOf = (b: Batch): unknown[][] => {
  if (b.reset) return [[b.channel, { reset: b.reset.reason, missed: b.reset.missed ?? 0 }]]
  const out: unknown[][] = []
  if (b.text !== undefined) out.push([b.channel, { text: b.text }])
  else if (b.bytes) out.push([b.channel, { bytes: [...b.bytes] }])
  else if (b.records.length) out.push([b.channel, ...b.records])
  if (b.closed) out.push([b.channel, { closed: true }])
  return out
}

for (const { name, steps } of conversations) {
  test("conversation: " + name, async () => {
    FakeSocket.all = []
    const clock = new VirtualClock()
    const server = new FakeServer()
    const client = new Client(
      { url: "http://server.test", transport: "ws", fetch: server.fetch, WebSocket: FakeSocket as never, clock }, transports,
    )
    const got: unknown[][] = []
    const followers = new Map<string, Follower>()
    const ended = new Set<string>()
    const published = new Map<string, Record<string, unknown>>()
    const ids = new Map<string, unknown>()
    const follow = (channel: string, offset?: string, budget?: number): void => {
      const f = client.follow(channel, { offset, budget, onBatch: (b) => got.push(...gotOf(b)) })
      followers.set(channel, f)
      f.done.then(
        () => ended.add(channel),
        (e: TwohopError) => {
          ended.add(channel)
          got.push([channel, { error: e.code }])
        },
      )
    }
    // Keeps the socket open where the conversation follows nothing; its frames don't count.
    follow("$aside", "now")
    /** How far the frames of a socket were looked at. */
    const seen = new Map<FakeSocket, number>()
    const sent = (type: string): Client1 => {
      const socket = FakeSocket.last
      for (let i = seen.get(socket) ?? 0; i < socket.sent.length; i++) {
        const f = socket.sent[i] as Client1
        seen.set(socket, i + 1)
        if (f.type !== type) continue
        f.channels = f.channels?.filter((c) => (typeof c === "string" ? c : c.channel) !== "$aside")
        if (f.channels && !f.channels.length) continue
        return f
      }
      throw new Error(`no ${type} was sent: ${JSON.stringify(FakeSocket.last.sent)}`)
    }
    let first = true
    for (const step of steps) {
      await settle()
      if ("S" in step) {
        const f = { ...step.S }
        if (typeof f.id === "string" && f.id.startsWith("$")) f.id = ids.get(f.id)
        if (f.type === "welcome" && !first) {
          for (const n = FakeSocket.all.length; FakeSocket.all.length === n; ) await clock.pass(100)
        }
        first &&= f.type !== "welcome"
        FakeSocket.last.say(f)
        if (f.type === "welcome") {
          await settle()
          FakeSocket.last.say(subscribed("$aside", 1))
        }
      } else if ("C" in step) {
        const { C } = step
        if (C.type === "subscribe" && ![...C.channels!].every((c) => followers.has((c as Sub).channel))) {
          for (const c of C.channels as Sub[]) follow(c.channel, c.offset, c.budget)
        }
        if (C.type === "unsubscribe") for (const c of C.channels as string[]) followers.get(c)!.close()
        if (C.type === "publish") {
          const id = C.id as string
          void client.publish(C.channel!, C.records).then(
            (p) => published.set(id, { ...p }),
            (e: TwohopError) => published.set(id, { error: e.code }),
          )
        }
        await settle()
        const f = sent(C.type)
        if (C.id !== undefined) ids.set(C.id as string, f.id)
        if (C.type === "subscribe") {
          const plain = (f.channels as Sub[]).map(({ channel, offset, budget }) => [channel, offset ?? "now", budget ?? 0])
          const wanted = (C.channels as Sub[]).map(({ channel, offset, budget }) => [channel, offset ?? "now", budget ?? 0])
          assert.deepEqual(plain.sort(), wanted.sort())
        } else if (C.type === "publish") assert.deepEqual([f.channel, f.records], [C.channel, C.records])
        else if (C.type === "unsubscribe") assert.deepEqual(f.channels, C.channels)
      } else if ("W" in step) {
        continue
      } else if ("cut" in step) {
        FakeSocket.last.end(1006)
      } else if ("got" in step) {
        await settle()
        assert.deepEqual(got, step.got)
      } else if ("stands" in step) {
        for (const [channel, offset] of Object.entries(step.stands)) {
          if (offset === null) assert.ok(ended.has(channel), channel + " is still followed")
          else assert.equal(followers.get(channel)!.at.offset, offset)
        }
      } else {
        await settle()
        for (const [id, answer] of Object.entries(step.published)) assert.deepEqual(published.get(id), answer)
      }
    }
    client.close()
    await settle()
    assert.deepEqual(server.requests, [], "all went over the socket")
    assert.deepEqual(clock.waits, [], "timers that nobody stopped")
  })
}

const server = JSON.parse(readFileSync("../../test/vectors/server_frames.json", "utf8")) as { name: string; text: string; frame: Record<string, unknown> | null }[]

test("frames of the server are read or ignored", async () => {
  for (const { name, text, frame } of server) {
    FakeSocket.all = []
    const clock = new VirtualClock()
    const client = new Client({ url: "http://server.test", transport: "ws", fetch: new FakeServer().fetch, WebSocket: FakeSocket as never, clock }, transports)
    const got: Batch[] = []
    const channel = (frame?.channel as string) ?? "a"
    client.follow(channel, { offset: "-1", onBatch: (b) => got.push(b) })
    await settle()
    if (frame?.type !== "welcome") FakeSocket.last.welcome()
    await settle()
    if (frame?.type === "data" || frame?.type === "reset") {
      FakeSocket.last.say({ type: "subscribed", channel, offset: "0000000000000000_0000000000000000", upToDate: true })
      got.length = 0
    }
    FakeSocket.last.onmessage!({ data: text })
    await settle()
    if (frame?.type === "data") {
      const bytes = frame.bytes === undefined ? undefined : Uint8Array.from(frame.bytes as number[])
      assert.deepEqual(
        { records: got[0]?.records, text: got[0]?.text, bytes: got[0]?.bytes, closed: got[0]?.closed, upToDate: got[0]?.upToDate, offset: got[0]?.offset },
        { records: frame.records ?? [], text: frame.text, bytes, closed: frame.closed, upToDate: frame.upToDate, offset: frame.offset }, name,
      )
    } else if (frame?.type === "reset") {
      assert.equal(got[0]?.reset?.reason, frame.reason, name)
      assert.equal(got[0]?.offset, frame.offset, name)
    }
    client.close()
  }
})
