// Publishing. What is published goes out in order, each under a key of its own, and is
// sent again under the same key until it is answered: it takes effect once, over
// whatever broke in between. What comes while a request is under way goes out together
// in the next one.

import { asError, mends, told, TwohopError } from "./errors.js"
import type { Env } from "./env.js"
import { pathOf, request } from "./http.js"
import { bound, initial } from "./machine.js"
import type { Lane } from "./lane.js"
import type { Frame, Item, Published, PublishOptions } from "./types.js"

/** Bounds of one request. */
const mostItems = 1000
const mostBytes = 1 << 20

const random = (): string => [...crypto.getRandomValues(new Uint32Array(3))].map((n) => n.toString(36)).join("")
let source = ""
let count = 0

const encode = (b: Uint8Array): string => {
  let s = ""
  for (const c of b) s += String.fromCharCode(c)
  return btoa(s)
}

export function itemOf(channel: string, value: unknown, o: PublishOptions): Item {
  const item: Item = {
    channel, contentType: o.contentType, ifMatch: o.ifMatch, close: o.close, timeout: o.timeout,
    idempotencyKey: o.idempotencyKey ?? (source ||= random()) + "-" + ++count,
  }
  if (value instanceof Uint8Array) item.base64 = encode(value)
  else if (typeof value === "string" && o.contentType && !/json/.test(o.contentType)) item.text = value
  else if (value !== undefined) item.records = Array.isArray(value) ? value : [value]
  return item
}

interface Waiting {
  item: Item
  json: string
  until: number
  resolve(p: Published): void
  reject(e: Error): void
}

const answerOf = (f: Frame): Published => ({ offset: f.offset!, durability: f.durability, readers: f.readers, duplicate: !!f.duplicate })

export class Publisher {
  /** In order; what is sent over the WebSocket and not answered comes before all of it. */
  #queue: Waiting[] = []
  readonly #sent = new Map<string, Waiting>()
  #busy = false
  #fails = 0
  #ids = 0
  #timer: unknown
  #most = mostItems

  constructor(
    private readonly env: Env,
    /** The lane that frames can be sent on, if there is one. */
    private readonly lane: () => Lane | undefined,
  ) {}

  publish(item: Item): Promise<Published> {
    const { timeout, ...wire } = item
    return new Promise((resolve, reject) => {
      this.#queue.push({ item, json: JSON.stringify(wire), until: this.env.clock.now() + (timeout ?? 60_000), resolve, reject })
      this.pump()
    })
  }

  /** Sends what can be sent now. */
  pump(): void {
    if (this.#busy || !this.#queue.length) return
    this.env.clock.clear(this.#timer)
    const lane = this.lane()
    if (!lane) {
      if (!this.#sent.size) void this.#post()
      return
    }
    for (const w of this.#queue.splice(0)) {
      const id = "p" + ++this.#ids
      if (w.json.length > (lane.maxMessage ?? Infinity) / 3 && new TextEncoder().encode(w.json).length + 64 > lane.maxMessage!) {
        w.reject(new TwohopError("too_large", "the message would be larger than the server takes", "send it in parts"))
        continue
      }
      this.#sent.set(id, w)
      lane.send!({ type: "publish", id, ...w.item, timeout: undefined })
    }
  }

  /** An answer came over the WebSocket; false if it is not to a publish. */
  answered(f: Frame): boolean {
    const w = this.#sent.get(String(f.id))
    if (!w) return false
    this.#sent.delete(String(f.id))
    if (f.type === "published") w.resolve(answerOf(f))
    else if (mends(f.code)) this.#again([w], told(f))
    else w.reject(told(f))
    if (!this.#sent.size) this.pump()
    return true
  }

  /** The WebSocket is gone: what it did not answer is sent anew. */
  lost(): void {
    this.#queue.unshift(...this.#sent.values())
    this.#sent.clear()
    this.pump()
  }

  async #post(): Promise<void> {
    let bytes = 0
    let n = 0
    while (n < this.#queue.length && n < this.#most && (n === 0 || bytes < mostBytes)) bytes += this.#queue[n++]!.json.length
    const batch = this.#queue.splice(0, n)
    this.#busy = true
    const control = new AbortController()
    const timer = this.env.clock.set(() => control.abort(), 30_000)
    try {
      if (n === 1) batch[0]!.resolve(await this.#one(batch[0]!.item, control.signal))
      else await this.#many(batch, control.signal)
      this.#fails = 0
    } catch (e) {
      const error = asError(e)
      if (error.status === 413 && n > 1) {
        this.#most = 1
        this.#queue.unshift(...batch)
      } else if (error.retry === false) for (const w of batch) w.reject(error)
      else this.#again(batch, error)
    }
    this.env.clock.clear(timer)
    this.#busy = false
    if (!this.#fails) this.pump()
  }

  /** One publish has the address of its channel. */
  async #one(i: Item, signal: AbortSignal): Promise<Published> {
    const headers: Record<string, string> = {
      "Content-Type": i.contentType ?? (i.records ? "application/json" : i.text !== undefined ? "text/plain" : "application/octet-stream"),
      "Idempotency-Key": i.idempotencyKey,
    }
    if (i.ifMatch) headers["If-Match"] = `"${i.ifMatch}"`
    if (i.close) headers["Stream-Closed"] = "true"
    const body = i.records ? JSON.stringify(i.records) : i.base64 ? Uint8Array.from(atob(i.base64), (c) => c.charCodeAt(0)) : i.text
    const { headers: h } = await request(this.env, pathOf(i.channel), { method: "POST", headers, body, signal })
    const readers = h.get("Stream-Readers")
    return {
      offset: h.get("Stream-Next-Offset")!,
      durability: h.get("Stream-Durability") ?? undefined,
      readers: readers ? Number(readers) : undefined,
      duplicate: h.get("Stream-Duplicate") === "true",
    }
  }

  async #many(batch: Waiting[], signal: AbortSignal): Promise<void> {
    const body = "[" + batch.map((w) => w.json).join() + "]"
    const answer = await request(this.env, "v1/publish", { method: "POST", headers: { "Content-Type": "application/json" }, body, signal })
    const results = (await answer.json()) as (Frame & { error?: Frame })[]
    const again: Waiting[] = []
    let error: TwohopError | undefined
    results.forEach((r, i) => {
      const w = batch[i]!
      if (!r.error) return w.resolve(answerOf(r))
      const e = told({ ...r.error, channel: r.channel, offset: r.offset })
      // Not after something later of the same channel, which would turn the order round.
      const overtaken = results.some((l, j) => j > i && !l.error && l.channel === r.channel)
      if (!e.retry || overtaken) return w.reject(e)
      again.push(w)
      error = e
    })
    if (error) throw Object.assign(error, { again })
  }

  /** Tries again after a while, unless that has been going on for too long. */
  #again(batch: Waiting[], error: TwohopError & { again?: Waiting[] }): void {
    const { clock } = this.env
    const keep = (error.again ?? batch).filter((w) => clock.now() < w.until || w.reject(error))
    this.#queue.unshift(...keep)
    clock.clear(this.#timer)
    const ms = (error.after ?? 0) + clock.random() * bound({ ...initial(), fails: ++this.#fails })
    this.#timer = clock.set(() => {
      this.pump()
    }, ms)
  }

  close(error: Error): void {
    this.env.clock.clear(this.#timer)
    for (const w of [...this.#sent.values(), ...this.#queue.splice(0)]) w.reject(error)
    this.#sent.clear()
  }
}
