// A page's end of a connection that tabs share through a SharedWorker; worker.ts is the
// other end. Messages are calls: the name of a function there, and its arguments. A page
// holds a lock, by which the worker notices that it is gone; the worker holds one for
// each page.

import type { Share } from "./client.js"
import { unique } from "./env.js"
import { closedError, type Fault, lost, TwohopError } from "./errors.js"
import { tokenOf } from "./http.js"
import type { ConnectOptions, Hub, Item, Published, Sink, Start, Status, Transport } from "./types.js"

/** What a page asks of the worker. */
export interface WorkerSide {
  /** token: true if the page can be asked for one. */
  hello(url: string, token: string | true | undefined, transport: ConnectOptions["transport"], lock: string): void
  enter(list: [id: number, channel: string, at: Start, wanted: number][]): void
  leave(id: number): void
  publish(id: number, item: Item): void
  force(transport: Transport | undefined): void
  token(token?: string): void
}

/** What the worker tells a page. */
export interface PageSide {
  status(s: Status, lastError: Fault): void
  sink(id: number, what: "batch" | "inForce" | "end", value: unknown, error?: Fault): void
  published(id: number, answer?: Published, error?: Fault): void
  token(): void
}

export type Call<Side> = <K extends keyof Side>(name: K, ...args: Side[K] extends (...a: infer A) => void ? A : never) => void

/** Serves the calls of the other end, and returns what calls it. */
export function ends<Mine, Other>(port: MessagePort, mine: Mine): Call<Other> {
  port.onmessage = ({ data: [name, ...args] }) => (mine as Record<string, (...a: unknown[]) => void>)[name]!(...args)
  return (...call) => port.postMessage(call)
}

const mend = (f: Fault): Error | undefined => f && new TwohopError(f.code!, f.message!, f.hint, f)

/** A worker that says nothing for so long is not waited for: the page connects on its own. */
const patience = 5000

export const share: Share = (o, changed) => {
  const { token, url } = o
  const locks = globalThis.navigator?.locks
  if (!globalThis.SharedWorker || !locks || o.fetch || o.WebSocket) return
  return new Promise<Hub | void>((resolve) => {
    const key = typeof token === "function" || token
    const script = o.shared === true ? import.meta.url : (o.shared as string)
    // Throws for a script of another origin. The 3 keeps pages from a worker of before, which takes other calls.
    const worker = new SharedWorker(script, { type: "module", name: `twohop3 ${url} ${key}` })
    worker.onerror = () => resolve()
    setTimeout(resolve, patience)
    const sinks = new Map<number, Sink>()
    const entering: Parameters<WorkerSide["enter"]>[0] = []
    const ids = new WeakMap<Sink, number>()
    const publishes = new Map<number, (answer: Published | Promise<never>) => void>()
    let last = 0
    let release: () => void
    let status: Status | undefined

    const stop = (error?: Error): void => {
      if (status!.state === "closed") return
      release()
      worker.port.close()
      for (const sink of sinks.values()) sink.end(error)
      for (const settle of publishes.values()) settle(Promise.reject(closedError("unknown_outcome")))
      status = { ...status!, state: "closed" }
      changed()
    }

    const call = ends<PageSide, WorkerSide>(worker.port, {
      status(s, lastError) {
        // Granted when the worker is gone.
        if (!status) void locks.request(lock + "!", () => stop(lost("no worker")))
        status = { ...s, lastError: mend(lastError) }
        resolve(hub)
        changed()
      },
      sink: (id, what, value, error) => sinks.get(id)?.[what]((value ?? mend(error)) as never),
      published(id, answer, error) {
        publishes.get(id)?.(error ? Promise.reject(mend(error)) : answer!)
        publishes.delete(id)
      },
      // Without a token the server says what is wrong.
      token: async () => call("token", await tokenOf(o).catch(() => undefined)),
    })

    const lock = "twohop " + unique()
    void locks.request(lock, () => {
      call("hello", url, key, o.transport, lock)
      return new Promise<void>((done) => (release = done))
    })

    const hub: Hub = {
      get status() {
        return status!
      },
      enter(sink) {
        ids.set(sink, ++last)
        sinks.set(last, sink)
        // Those of a turn go together, lest the worker connects for the first of many.
        if (entering.push([last, sink.channel, sink.at, sink.wanted]) < 2) {
          queueMicrotask(() => call("enter", entering.splice(0)))
        }
      },
      leave(sink) {
        const id = ids.get(sink)!
        sinks.delete(id)
        queueMicrotask(() => call("leave", id))
      },
      publish: (item) =>
        new Promise((resolve) => {
          publishes.set(++last, resolve)
          call("publish", last, item)
        }),
      force: (transport) => call("force", transport),
      close: stop,
    }
  }).catch(() => {}) as Promise<Hub | undefined>
}
