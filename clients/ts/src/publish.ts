// Publishing. What is published to a channel goes out in order, under a key, and is sent
// again under the same key until it is answered: it takes effect once, over whatever
// broke in between. What comes while a request of the channel is under way goes out as
// one batch in the next.

import { asError, told, TwohopError } from "./errors.js"
import type { Env } from "./env.js"
import { pathOf, request } from "./http.js"
import { bound, initial } from "./machine.js"
import type { Lane } from "./lane.js"
import type { Frame, Item, Published, PublishOptions } from "./types.js"

/** Records and bytes that go out as one batch. */
const mostRecords = 1000
const mostBytes = 1 << 19

let source = ""
let count = 0

export function itemOf(channel: string, value: unknown, { contentType, ifMatch, close, timeout, idempotencyKey }: PublishOptions): Item {
  const item: Item = { channel, contentType, ifMatch, close, timeout, idempotencyKey }
  if (value instanceof Uint8Array) item.base64 = btoa(value.reduce((s, c) => s + String.fromCharCode(c), ""))
  else if (typeof value === "string" && contentType && !/json/.test(contentType)) item.text = value
  else if (value !== undefined) item.records = Array.isArray(value) ? value : [value]
  return item
}

/** One publish, or several that go out as one. */
interface Waiting {
  item: Item
  bytes: number
  until: number
  tried?: boolean
  settle: ((result: Published | Error) => void)[]
}

export interface Outbox {
  publish(item: Item): Promise<Published>
  /** Sends what can be sent now. */
  pump(): void
  /** Takes the answer to a publish over the WebSocket; false if the frame is none. */
  answered(f: Frame): boolean
  /** The WebSocket is gone: what it did not answer is sent anew. */
  lost(): void
  close(error: Error): void
}

async function over(env: Env, i: Item, signal: AbortSignal): Promise<Published> {
  const headers: Record<string, string> = {
    "Content-Type": i.contentType ?? (i.base64 ? "application/octet-stream" : "application/json"),
    "Idempotency-Key": i.idempotencyKey!,
  }
  if (i.ifMatch) headers["If-Match"] = i.ifMatch
  if (i.close) headers["Stream-Closed"] = "true"
  const body = i.base64 ? Uint8Array.from(atob(i.base64), (c) => c.charCodeAt(0)) : (i.text ?? (i.records && JSON.stringify(i.records)))
  const h = (await request(env, pathOf(i.channel), { method: "POST", headers, body, signal })).headers
  const get = (name: string): string | undefined => h.get("Stream-" + name) ?? undefined
  return {
    offset: get("Next-Offset")!,
    durability: get("Durability"),
    readers: Number(get("Readers")),
    duplicate: !!get("Duplicate"),
  }
}

const answerOf = ({ offset, durability, readers, duplicate }: Frame): Published => ({
  offset: offset!, durability, readers, duplicate: !!duplicate,
})

/** More records of the same kind can go with it. */
const plain = (i: Item): boolean => !!i.records && !i.ifMatch && !i.close

/** lane gives the lane that serves, if there is one. */
export function publisher(env: Env, lane: () => Lane | undefined): Outbox {
  const { clock } = env
  /** What waits, in order. The first of a channel is being sent, if the channel is busy. */
  const queues = new Map<string, Waiting[]>()
  const busy = new Set<string>()
  const sent = new Map<unknown, Waiting>()
  let fails = 0
  let ids = 0
  let timer: unknown

  function pump(): void {
    clock.clear(timer)
    const l = lane()
    for (const [channel, queue] of queues) {
      while (queue.length && !busy.has(channel)) {
        const w = queue[0]!
        w.tried = true
        // What is too large for a message goes by itself.
        if (l?.send && w.bytes * 3 < l.maxMessage!) {
          const id = "p" + ++ids
          sent.set(id, queue.shift()!)
          l.send({ ...w.item, type: "publish", id })
        } else if ([...sent.values()].some((s) => s.item.channel === channel)) break
        else void post(w, queue)
      }
      if (!queue.length) queues.delete(channel)
    }
  }

  /** Sends by a request of its own. */
  async function post(w: Waiting, queue: Waiting[]): Promise<void> {
    const { channel } = w.item
    busy.add(channel)
    const control = new AbortController()
    const limit = clock.set(() => control.abort(), 30_000)
    const result = await over(env, w.item, control.signal).catch(asError)
    clock.clear(limit)
    busy.delete(channel)
    queue.shift()
    settle(w, result)
  }

  /** Tries again after a while, unless that has been going on for too long. */
  function settle(w: Waiting, result: Published | TwohopError): void {
    if (!(result instanceof TwohopError)) fails = 0
    else if (result.retry && clock.now() < w.until) {
      requeue([w])
      clock.clear(timer)
      timer = clock.set(pump, (result.after ?? 0) + clock.random() * bound({ ...initial(), fails: ++fails }))
      return
    }
    for (const s of w.settle) s(result)
    if (!fails) pump()
  }

  function requeue(list: Waiting[]): void {
    for (const w of list.reverse()) queues.set(w.item.channel, [w, ...(queues.get(w.item.channel) ?? [])])
  }

  return {
    publish: (item) =>
      new Promise((resolve, reject) => {
        const { channel } = item
        const bytes = JSON.stringify(item).length
        const queue = queues.get(channel) ?? []
        queues.set(channel, queue)
        const settle = (r: Published | Error): void => (r instanceof Error ? reject(r) : resolve(r))
        const last = queue.at(-1)
        if (
          last && !last.tried && plain(last.item) && plain(item) && !item.idempotencyKey && last.item.contentType === item.contentType &&
          last.bytes + bytes < mostBytes && last.item.records!.length < mostRecords
        ) {
          last.item.records = last.item.records!.concat(item.records)
          last.bytes += bytes
          last.settle.push(settle)
        } else {
          source ||= crypto.getRandomValues(new Uint32Array(4)).join("")
          const idempotencyKey = item.idempotencyKey ?? source + "-" + ++count
          queue.push({ item: { ...item, idempotencyKey }, bytes, until: clock.now() + (item.timeout ?? 60_000), settle: [settle] })
        }
        if (!fails) pump()
      }),
    pump,
    answered(f) {
      const w = sent.get(f.id)
      sent.delete(f.id)
      if (w) settle(w, f.type === "error" ? told(f) : answerOf(f))
      return !!w
    },
    lost() {
      requeue([...sent.values()])
      sent.clear()
      if (!fails) pump()
    },
    close(error) {
      clock.clear(timer)
      for (const w of [...sent.values(), ...[...queues.values()].flat()]) for (const s of w.settle) s(error)
      sent.clear()
      queues.clear()
    },
  }
}
