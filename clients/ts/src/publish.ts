// Publishing. What is published to a channel goes out in order, one after the other, each
// under a key, and is sent again under the same key until it is answered: it takes effect
// once, over whatever broke in between, and nothing overtakes it. What comes in the
// meantime goes out as one batch.

import { asError, lost, told, TwohopError } from "./errors.js"
import { pause, unique } from "./env.js"
import type { Env } from "./env.js"
import { pathOf, request } from "./http.js"
import { ofPublish } from "./lane.js"
import type { Lane } from "./lane.js"
import type { Frame, Item, Published, PublishOptions } from "./types.js"

/** Bytes that go out as one batch. */
const mostBytes = 1 << 19
/** A request that is not answered within this time is made again. */
const patience = 30_000

export function itemOf(channel: string, value: unknown, o: PublishOptions): Item {
  const item: Item & PublishOptions = { ...o, signal: undefined, channel }
  const { contentType } = o
  if (value instanceof Uint8Array) item.bytes = value
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
  /** A connection stands: what waits for its next try need not. */
  pump(): void
  /** Takes the answer to a publish over the WebSocket, whether anyone waits for it or not; false if the frame is none. */
  answered(f: Frame): boolean
  /** The lane is gone: what it did not answer is sent anew. */
  lost(lane: Lane): void
  close(error: Error): void
}

/** Publishes by a request. */
async function post(env: Env, i: Item): Promise<Published> {
  const headers: Record<string, string> = {
    "Content-Type": i.contentType ?? (i.bytes ? "application/octet-stream" : "application/json"),
    "Idempotency-Key": i.idempotencyKey!,
  }
  if (i.ifMatch) headers["If-Match"] = i.ifMatch
  if (i.close) headers["Stream-Closed"] = "true"
  const body = (i.bytes as BodyInit) ?? i.text ?? JSON.stringify(i.records)
  const signal = AbortSignal.timeout(patience)
  const { status, headers: h } = await request(env, pathOf(i.channel), { method: "POST", headers, body, signal })
  const get = (name: string): string => h.get("Stream-" + name)!
  const offset = get("Next-Offset")
  // Anything else took nothing: the page of a portal, or one of the channel, which a redirect made of the POST.
  if (status !== 204 || !offset) throw lost("not a twohop server")
  return {
    offset,
    durability: get("Durability"),
    readers: +get("Readers"),
    duplicate: !!get("Duplicate"),
  }
}

/** More records of the same kind can go with it. */
const plain = (i: Item): boolean => !!i.records && !i.ifMatch && !i.close

/** lane gives the lane that serves, if there is one. */
export function publisher(env: Env, lane: () => Lane | false | undefined): Outbox {
  const { clock } = env
  const source = unique()
  /** What is not answered, in order, by channel. The first of each is under way. */
  const queues = new Map<string, Waiting[]>()
  const sent = new Map<unknown, [over: Lane, settle: (result: Published | TwohopError) => void]>()
  /** What was sent over a WebSocket that is gone gets this, and goes out anew. */
  const moved = lost("")
  let nap = new AbortController()
  let ids = 0

  function send({ item, bytes }: Waiting): Promise<Published | TwohopError> {
    const l = lane()
    // What is too large for a message goes by itself.
    if (!l || !l.send || bytes * 3 > l.maxMessage!) return post(env, item)
    return new Promise((resolve) => {
      const id = "p" + ++ids
      sent.set(id, [l, resolve])
      const base64 = item.bytes && btoa(item.bytes.reduce((s, c) => s + String.fromCharCode(c), ""))
      l.send!({ ...item, type: "publish", id, base64, bytes: undefined })
    })
  }

  async function run(channel: string, queue: Waiting[]): Promise<void> {
    let fails = 0
    while (queue.length) {
      const w = queue[0]!
      w.tried = true
      const result = await send(w).catch(asError)
      if (result === moved) continue
      if (result instanceof TwohopError && result.retry && clock.now() < w.until) {
        await pause(clock, result, ++fails, nap.signal)
        continue
      }
      fails = 0
      queue.shift()
      for (const s of w.settle) s(result)
    }
    queues.delete(channel)
  }

  const pump = (): void => {
    nap.abort()
    nap = new AbortController()
  }
  const answer = (id: unknown, result: Published | TwohopError): void => {
    sent.get(id)?.[1](result)
    sent.delete(id)
  }

  return {
    publish: (item) =>
      new Promise((resolve, reject) => {
        const { channel } = item
        const bytes = item.bytes?.length ?? JSON.stringify(item).length
        const settle = (r: Published | Error): void => (r instanceof Error ? reject(r) : resolve(r))
        const queue = queues.get(channel)
        const last = queue?.at(-1)
        if (
          last && !last.tried && plain(last.item) && plain(item) && !item.idempotencyKey && last.item.contentType === item.contentType &&
          last.bytes + bytes < mostBytes
        ) {
          last.item.records = last.item.records!.concat(item.records)
          last.bytes += bytes
          last.settle.push(settle)
          return
        }
        const idempotencyKey = item.idempotencyKey ?? source + ++ids
        const w = { item: { ...item, idempotencyKey }, bytes, until: clock.now() + (item.timeout ?? 60_000), settle: [settle] }
        if (queue) queue.push(w)
        else {
          const fresh = [w]
          queues.set(channel, fresh)
          void run(channel, fresh)
        }
      }),
    pump,
    answered: (f) => {
      const { offset, durability, readers, duplicate } = f
      answer(f.id, f.type === "error" ? told(f) : { offset: offset!, durability, readers, duplicate: !!duplicate })
      return ofPublish(f)
    },
    lost(lane) {
      for (const [id, [over]] of sent) if (over === lane) answer(id, moved)
    },
    close(error) {
      for (const queue of queues.values()) for (const w of queue.splice(0)) for (const s of w.settle) s(error)
      pump()
    },
  }
}
