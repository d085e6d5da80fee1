// The SharedWorker's end of a connection that tabs share: one connection, and a port
// for each page.

import { environment } from "./env.js"
import { connection } from "./hub.js"
import type { Transports } from "./hub.js"
import { fault } from "./errors.js"
import { ends } from "./shared.js"
import type { Call, PageSide, WorkerSide } from "./shared.js"
import type { Hub, Sink } from "./types.js"

/** Serves pages, where this is a SharedWorker. */
export function serveTabs(transports: Transports): void {
  const scope = globalThis as { SharedWorkerGlobalScope?: unknown; onconnect?: (e: MessageEvent) => void }
  if (!scope.SharedWorkerGlobalScope) return
  const pages = new Set<Call<PageSide>>()
  const waiting: ((token?: string) => void)[] = []
  let hub: Hub | undefined

  /** The first page to answer gives the token. */
  const ask = (): Promise<string> =>
    new Promise((resolve) => {
      waiting.push(resolve as () => void)
      for (const page of pages) page("token")
    })

  const show = (page: Call<PageSide>): void => {
    const { lastError, ...status } = hub!.status
    page("status", status, fault(lastError))
  }

  scope.onconnect = ({ ports: [port] }) => {
    const sinks = new Map<number, Sink>()
    const page = ends<WorkerSide, PageSide>(port!, {
      hello(url, token, transport, lock) {
        hub ??= connection(environment({ url, token: token === true ? ask : token, transport }), transports, () => pages.forEach(show))
        // Held until the page is gone. Should the page get it, this worker is.
        void navigator.locks.request(lock + "!", () => {
          pages.add(page)
          show(page)
          // Granted when the page is gone.
          return navigator.locks.request(lock, () => {
            pages.delete(page)
            for (const s of sinks.values()) hub!.leave(s)
            port!.close()
          })
        })
      },
      enter(list) {
        for (const [id, channel, at, wanted] of list) {
          const sink = {
            channel,
            at,
            wanted,
            batch(b: { offset: string }) {
              sink.at = { offset: b.offset }
              page("sink", id, "batch", b)
            },
            inForce: (ms: number) => page("sink", id, "inForce", ms),
            end: (e?: Error) => page("sink", id, "end", undefined, fault(e)),
          }
          sinks.set(id, sink)
          hub!.enter(sink)
        }
      },
      leave(id) {
        const sink = sinks.get(id)
        if (sink) hub!.leave(sink)
        sinks.delete(id)
      },
      publish: (id, item) =>
        void hub!.publish(item).then(
          (answer) => page("published", id, answer),
          (e: Error) => page("published", id, undefined, fault(e)),
        ),
      force: (transport) => hub!.force(transport),
      token(token) {
        for (const give of waiting.splice(0)) give(token)
      },
    })
  }
}
