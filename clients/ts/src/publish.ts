// Publishing. What is published to a channel goes out in order, one after the other, each
// under a key, and is sent again under the same key until it is answered: it takes effect
// once, over whatever broke in between, and nothing overtakes it. What comes in the
// meantime goes out as one batch, but for what was given up before that.

import { asError, closedError, lost, told, TwohopError } from "./errors.js"
import { pause, unique } from "./env.js"
import type { Env } from "./env.js"
import { pathOf, request } from "./http.js"
import { ofPublish } from "./lane.js"
import type { Lane } from "./lane.js"
import type { Frame, Item, Published, PublishOptions } from "./types.js"

/** Bytes that go out as one batch. */
const mostBytes = 1 << 19
/** A request that is not answered within this time, and a millisecond for each 64 bytes, is made again. */
const patience = 30_000
/**
 * How long after its first try a key may be used again: a server knows it for 5 min, and a request may be on its way
 * for a while. What its bytes take goes off, too.
 */
const mostRepeated = 300_000 - patience

/** The value as it is now: whoever gave it may change it before it is sent. */
export function itemOf(channel: string, value: unknown, o: PublishOptions): Item {
  const item: Item & PublishOptions = { ...o, signal: undefined, channel }
  const { contentType } = o
  if (value instanceof Uint8Array) item.bytes = new Uint8Array(value)
  else if (typeof value === "string" && contentType && !/json/.test(contentType)) item.text = value
  else if (value !== undefined) item.records = JSON.stringify(([] as unknown[]).concat(value)).slice(1, -1)
  return item
}

interface Waiting {
  item: Item
  bytes: number
  until: number
  settle: (result: Published | Promise<never>) => void
  /** Says that nobody wants it any more. */
  signal?: AbortSignal
  /** The code of its error once it was sent, should nobody wait for the answer. */
  tried?: string
}

export interface Outbox {
  publish(item: Item, signal?: AbortSignal): Promise<Published>
  /** A connection stands: what waits for its next try need not. */
  pump(): void
  /** Takes the answer to a publish over the WebSocket, whether anyone waits for it or not; false if the frame is none. */
  answered(f: Frame): boolean
  /** The lane is gone: what it did not answer is sent anew. */
  lost(lane: Lane): void
  /** Gives up everything. What is under way may still take effect. */
  close(): void
}

/** Publishes by a request; list is the JSON of its records. */
async function post(env: Env, i: Item, list: string | undefined, bytes: number): Promise<Published> {
  const headers: Record<string, string> = {
    "Content-Type": i.contentType ?? (i.bytes ? "application/octet-stream" : "application/json"),
    "Idempotency-Key": i.idempotencyKey!,
  }
  if (i.ifMatch != null) headers["If-Match"] = i.ifMatch
  if (i.close) headers["Stream-Closed"] = "true"
  const body = (i.bytes as BodyInit) ?? i.text ?? list
  const signal = AbortSignal.timeout(patience + (bytes >> 6))
  const { status, headers: h } = await request(env, pathOf(i.channel), { method: "POST", headers, body, signal })
  const offset = h.get("Stream-Next-Offset")
  // Anything else took nothing: the page of a portal, or one of the channel, which a redirect made of the POST.
  if (status !== 204 || !offset) throw lost("no twohop server")
  return {
    offset,
    durability: h.get("Stream-Durability")!,
    readers: +h.get("Stream-Readers")!,
    duplicate: !!h.get("Stream-Duplicate"),
  }
}

/** What is of one kind goes out as one batch; what has none, alone. */
const kind = (i: Item): string | false | undefined => i.records && (i.ifMatch ?? i.idempotencyKey) === undefined && !i.close && "JSON " + i.contentType

/** lane gives the lane that serves, if there is one. */
export function publisher(env: Env, lane: () => Lane | undefined): Outbox {
  const { clock } = env
  const source = unique()
  /** What is not answered, in order, by channel. The first of each are under way. */
  const queues = new Map<string, Waiting[]>()
  const sent = new Map<unknown, [over: Lane, settle: (result: Published | TwohopError) => void]>()
  const code = "unknown_outcome"
  /** What was sent over a WebSocket that is gone gets this, and goes out anew. */
  const moved = Object.assign(lost("WebSocket closed"), { code })
  let nap = new AbortController()
  let ids = 0

  function send(item: Item, list: string | undefined, bytes: number): Promise<Published | TwohopError> {
    const l = lane()!
    // What is too large for a message goes by itself, and so does all where there are none.
    if (!(bytes * 3 <= l?.maxMessage!)) return post(env, item, list, bytes)
    return new Promise((resolve) => {
      const id = "p" + ++ids
      sent.set(id, [l, resolve])
      const base64 = item.bytes && btoa(item.bytes.reduce((s, c) => s + String.fromCharCode(c), ""))
      l.send!({ ...item, type: "publish", id, base64, bytes: undefined, records: list && JSON.parse(list) })
    })
  }

  async function run(channel: string, queue: Waiting[]): Promise<void> {
    while (queue.length) {
      let batch: Waiting[] = []
      let bytes = 0
      let n = 0
      for (const w of queue) {
        const k = kind(w.item)
        if (n && !(k && k === kind(queue[0]!.item) && bytes + w.bytes < mostBytes)) break
        n++
        if (w.signal?.aborted) continue
        w.tried = code
        batch.push(w)
        bytes += w.bytes
      }
      // Each try sends the same, under the same key.
      const item = { ...batch[0]?.item! }
      item.idempotencyKey ??= source + ++ids
      const list = item.records === undefined ? undefined : "[" + batch.map((w) => w.item.records) + "]"
      const last = clock.now() + mostRepeated - (bytes >> 6)
      let error: TwohopError | undefined
      /** Gives up those that were tried, and whose time is over. If others are left, the whole batch is tried again, and nobody knows what becomes of it. */
      const left = (): number =>
        (batch = batch.filter(
          (w) => !error || (error.retry && clock.now() < Math.min(w.until, last)) || w.settle(Promise.reject(Object.assign(error, error.retry && batch[1] && { code }))),
        )).length
      for (let fails = 0; left() && queue.length; /* close() empties it */) {
        const result = await send(item, list, bytes).catch((e?: Partial<TwohopError>) =>
          // The server's own words have a hint. Without them it may have been taken, unless something on the way refused it.
          Object.assign(asError(e), !e?.hint && !/^(4|501)/.test(e?.status as unknown as string) && { code }),
        )
        if (result instanceof Error) {
          error = Object.assign(result, result.retry && error?.code === code && { code })
          if (result !== moved && left()) await pause(clock, error, ++fails, nap.signal)
        } else for (const w of batch.splice(0)) w.settle(result)
      }
      queue.splice(0, n)
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
    publish: (item, signal) =>
      new Promise((settle) => {
        const { channel } = item
        const queue = queues.get(channel) ?? []
        const bytes = item.bytes?.length ?? JSON.stringify(item).length
        queues.set(channel, queue)
        if (queue.push({ item, bytes, until: clock.now() + (item.timeout ?? 60_000), settle, signal }) < 2) void run(channel, queue)
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
    close() {
      for (const queue of queues.values()) for (const w of queue.splice(0)) w.settle(Promise.reject(closedError(w.tried)))
      pump()
    },
  }
}
