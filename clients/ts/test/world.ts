// A world for the client in which time passes when a test says so: a clock, sockets
// and a server's answers that the test plays.

import type { Clock } from "../src/env.js"
import type { Frame } from "../src/types.js"

/** What a browser keeps for a tab. */
export function keepStorage(): void {
  const kept = new Map<string, string>()
  Object.defineProperty(globalThis, "sessionStorage", {
    configurable: true,
    value: { getItem: (k: string) => kept.get(k) ?? null, setItem: (k: string, v: string) => void kept.set(k, v) },
  })
}

/** Lets everything that waits for nothing but promises run. */
export const settle = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
}

export class VirtualClock implements Clock {
  time = 1_000_000
  #timers = new Map<number, { at: number; f: () => void }>()
  #ids = 0
  /** What random() gives; 1 makes each wait the longest possible. */
  chance = 1

  now = (): number => this.time
  random = (): number => this.chance
  set = (f: () => void, ms: number): unknown => {
    if (!(ms >= 0) || ms >= 2 ** 31) throw new Error("a timer of " + ms)
    this.#timers.set(++this.#ids, { at: this.time + ms, f })
    return this.#ids
  }
  clear = (id: unknown): void => void this.#timers.delete(id as number)

  /** The timers that wait, as milliseconds from now. */
  get waits(): number[] {
    return [...this.#timers.values()].map((t) => t.at - this.time).sort((a, b) => a - b)
  }

  /** Lets time pass, timer by timer. */
  async pass(ms: number): Promise<void> {
    await settle()
    const end = this.time + ms
    for (;;) {
      const [id, next] = [...this.#timers].filter(([, t]) => t.at <= end).sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0] ?? []
      if (!next) break
      this.time = Math.max(this.time, next.at)
      this.#timers.delete(id!)
      next.f()
      await settle()
    }
    this.time = end
  }
}

/** A WebSocket of the client, played by the test. */
export class FakeSocket {
  static all: FakeSocket[] = []
  onmessage?: (e: { data: string }) => void
  onclose?: (e: { code: number; reason: string }) => void
  sent: Record<string, unknown>[] = []
  closed = false

  constructor(
    readonly url: string,
    readonly protocol: string,
  ) {
    FakeSocket.all.push(this)
  }
  static get last(): FakeSocket {
    return FakeSocket.all.at(-1)!
  }
  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>)
  }
  close(): void {
    this.closed = true
  }
  /** The server sends a frame. */
  say(f: Frame | object): void {
    this.onmessage?.({ data: JSON.stringify(f) })
  }
  welcome(): void {
    this.say({ type: "welcome", heartbeat: 15_000, maxChannels: 10_000, maxMessage: 1 << 20 })
  }
  /** The connection ends. */
  end(code = 1006): void {
    this.onclose?.({ code, reason: "" })
  }
}

/** A request of the client, to be answered by the test. */
export interface FakeRequest {
  url: URL
  method: string
  headers: Record<string, string>
  body: string | undefined
  signal: AbortSignal
  answer(status: number, body?: string, headers?: Record<string, string>): void
  /** Answers with an event stream, and returns what writes to it. */
  stream(headers?: Record<string, string>): { write(text: string): void; end(): void; fail(): void }
  fail(): void
}

export class FakeServer {
  requests: FakeRequest[] = []
  /** Those that nobody has looked at. */
  #seen = 0

  fetch = ((input: string, init: RequestInit): Promise<Response> =>
    new Promise((resolve, reject) => {
      const signal = init.signal!
      const aborted = (): void => reject(new DOMException("aborted", "AbortError"))
      if (signal.aborted) return aborted()
      signal.addEventListener("abort", aborted)
      this.requests.push({
        url: new URL(input),
        method: init.method ?? "GET",
        headers: (init.headers ?? {}) as Record<string, string>,
        body: init.body as string | undefined,
        signal,
        answer: (status, body = "", headers = {}) => resolve(new Response(status === 204 ? null : body, { status, headers })),
        stream: (more = {}) => {
          let control: ReadableStreamDefaultController<Uint8Array>
          const stream = new ReadableStream<Uint8Array>({ start: (c) => void (control = c) })
          const cut = (): void => {
            try {
              control.error(new Error("cut"))
            } catch {
              // it has ended
            }
          }
          signal.addEventListener("abort", cut)
          resolve(new Response(stream, { status: 200, headers: { "Content-Type": "text/event-stream", ...more } }))
          return { write: (text) => control.enqueue(new TextEncoder().encode(text)), end: () => control.close(), fail: cut }
        },
        fail: () => reject(new TypeError("fetch failed")),
      })
    })) as typeof fetch

  /** The next request that came. */
  next(): FakeRequest {
    const r = this.requests[this.#seen]
    if (!r) throw new Error("no request came")
    this.#seen++
    return r
  }
  get waiting(): number {
    return this.requests.length - this.#seen
  }
}

export const offset = (n: number): string => "1790000000000000_" + String(n).padStart(16, "0")
export const subscribed = (channel: string, n: number, upToDate = true): Frame => ({
  type: "subscribed", channel, offset: offset(n), budget: 0, upToDate,
})
/** Records that are numbers: those after `from`, up to `to`. */
export const data = (channel: string, from: number, to: number, more: object = {}): Frame => ({
  type: "data", channel, offset: offset(to), upToDate: true, records: Array.from({ length: to - from }, (_, i) => from + i + 1), ...more,
})
export const event = (...frames: Frame[]): string => "id: x\ndata:" + JSON.stringify(frames) + "\n\n"
