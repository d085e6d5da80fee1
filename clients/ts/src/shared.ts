// A page's end of a connection that tabs share through a SharedWorker. worker.ts is the
// other end. A page holds a lock by which the worker notices that it is gone.

import type { Share } from "./client.js"
import { TwohopError } from "./errors.js"
import type { Batch, Handle, Published, Sink, Start, Status, Transport, Item } from "./types.js"

/** From the page. */
export type Ask =
  | { do: "hello"; url: string; token?: string; asks: boolean; transport?: Transport; lock: string }
  | { do: "follow"; id: number; channel: string; start: Start; budget?: string }
  | { do: "pause"; id: number; on: boolean }
  | { do: "leave"; id: number }
  | { do: "publish"; id: number; item: Item }
  | { do: "force"; transport?: Transport }
  | { do: "token"; id: number; token?: string; error?: string }
  | { do: "wake" }
  | { do: "bye" }

/** An error as it passes between page and worker. */
export interface Fault {
  code?: string
  message: string
  hint?: string
  details?: object
}

/** From the worker. */
export type Tell =
  | { tell: "hello" }
  | { tell: "status"; status: Omit<Status, "lastError"> & { lastError?: Fault } }
  | { tell: "batch"; id: number; batch: Batch }
  | { tell: "budget"; id: number; ms: number }
  | { tell: "end"; id: number; error?: Fault }
  | { tell: "published"; id: number; answer?: Published; error?: Fault }
  | { tell: "token"; id: number }

export const fault = (e?: Error): Fault | undefined =>
  e && { code: (e as TwohopError).code, hint: (e as TwohopError).hint, message: e.message, details: { ...e } }
const mend = (f?: Fault): Error | undefined => f && new TwohopError(f.code ?? "internal", f.message, f.hint, f.details)

/** The worker must be there within this time. */
const patience = 3000

export const share: Share = (o, changed, fail) => {
  const locks = globalThis.navigator?.locks
  if (!globalThis.SharedWorker || !locks || o.fetch || o.WebSocket) return
  const script = o.shared === true ? import.meta.url : String(o.shared)
  const asks = typeof o.token === "function"
  let worker: SharedWorker
  try {
    worker = new SharedWorker(script, { type: "module", name: "twohop " + o.url + " " + (asks ? "" : (o.token ?? "")) })
  } catch {
    return // a script of another origin
  }
  const { port } = worker
  const sinks = new Map<number, Sink>()
  const publishes = new Map<number, (t: { answer?: Published; error?: Fault }) => void>()
  let ids = 0
  let dead = false
  let status: Status = { state: "connecting", bytesIn: 0, batches: 0, records: 0, reconnects: 0 }
  const ask = (m: Ask): void => {
    if (!dead) port.postMessage(m)
  }
  const end = (): void => {
    dead = true
    clearTimeout(timer)
    release()
    document.removeEventListener("visibilitychange", wake)
    port.close()
  }
  const broken = (): void => {
    if (dead) return
    end()
    fail()
  }
  const wake = (): void => {
    if (!document.hidden) ask({ do: "wake" })
  }
  let release = (): void => {}
  const timer = setTimeout(broken, patience)
  worker.onerror = broken

  port.onmessage = ({ data: m }: MessageEvent<Tell>) => {
    switch (m.tell) {
      case "hello":
        return clearTimeout(timer)
      case "status":
        changed((status = { ...m.status, lastError: mend(m.status.lastError) }))
        return
      case "batch":
        return sinks.get(m.id)?.batch(m.batch)
      case "budget":
        return sinks.get(m.id)?.budget(m.ms)
      case "end":
        return sinks.get(m.id)?.end(mend(m.error))
      case "published":
        publishes.get(m.id)?.(m)
        publishes.delete(m.id)
        return
      case "token":
        void (async () => (o.token as () => string | Promise<string>)())().then(
          (token) => ask({ do: "token", id: m.id, token }),
          (e: Error) => ask({ do: "token", id: m.id, error: e.message }),
        )
    }
  }
  document.addEventListener("visibilitychange", wake)
  const lock = "twohop " + crypto.getRandomValues(new Uint32Array(4)).join("")
  const first = o.transport === "auto" ? undefined : o.transport
  void locks.request(lock, () => {
    ask({ do: "hello", url: o.url, token: asks ? undefined : (o.token as string), asks, transport: first, lock })
    for (const m of early.splice(0)) ask(m)
    early = undefined as never
    return new Promise<void>((resolve) => (release = resolve))
  })
  // The worker can't do anything before it was greeted.
  let early: Ask[] = []
  const later = (m: Ask): void => void (early ? early.push(m) : ask(m))

  return {
    get status() {
      return status
    },
    follow(channel, start, budget, sink): Handle {
      const id = ++ids
      sinks.set(id, sink)
      later({ do: "follow", id, channel, start, budget })
      return {
        close() {
          sinks.delete(id)
          later({ do: "leave", id })
        },
        pause: (on) => later({ do: "pause", id, on }),
      }
    },
    publish(item) {
      const id = ++ids
      later({ do: "publish", id, item })
      return new Promise((resolve, reject) => publishes.set(id, (t) => (t.error ? reject(mend(t.error)!) : resolve(t.answer!))))
    },
    force: (transport) => later({ do: "force", transport }),
    close() {
      later({ do: "bye" })
      const gone = mend({ code: "closed", message: "the client is closed" })
      for (const settle of publishes.values()) settle({ error: fault(gone) })
      changed((status = { ...status, state: "closed" }))
      end()
    },
  }
}
