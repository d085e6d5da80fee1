// The SharedWorker's end of a connection that tabs share: one connection, and a port
// for each page.

import { environment } from "./env.js"
import { Connection } from "./hub.js"
import type { Transports } from "./hub.js"
import { fault } from "./shared.js"
import type { Ask, Tell } from "./shared.js"
import type { Handle, Status } from "./types.js"

interface Scope {
  onconnect?: (e: MessageEvent) => void
}

interface Page {
  tell(m: Tell): void
  asks: boolean
}

/** Serves pages, where this is a SharedWorker. */
export function serveTabs(transports: Transports): void {
  if (!("SharedWorkerGlobalScope" in globalThis)) return
  const pages = new Set<Page>()
  const tokens = new Map<number, (m: { token?: string; error?: string }) => void>()
  let ids = 0
  let hub: Connection | undefined

  /** Asks a page for a token; another one, if that doesn't answer. */
  const token = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const asked = [...pages].filter((p) => p.asks)
      if (!asked.length) reject(new Error("no page is there to give a token"))
      const id = ++ids
      tokens.set(id, (m) => (m.error === undefined ? resolve(m.token!) : reject(new Error(m.error))))
      for (const p of asked) p.tell({ tell: "token", id })
    })

  const statusOf = (s: Status): Tell => ({ tell: "status", status: { ...s, lastError: fault(s.lastError) } })

  const accept = (port: MessagePort): void => {
    const handles = new Map<number, Handle>()
    const page: Page = { tell: (m) => port.postMessage(m), asks: false }
    const drop = (): void => {
      pages.delete(page)
      for (const h of handles.values()) h.close()
      handles.clear()
      port.close()
    }
    port.onmessage = ({ data: m }: MessageEvent<Ask>) => {
      switch (m.do) {
        case "hello":
          page.asks = m.asks
          pages.add(page)
          hub ??= new Connection(environment({ ...m, token: m.asks ? token : m.token }), transports, (s) => {
            for (const p of pages) p.tell(statusOf(s))
          })
          page.tell({ tell: "hello" })
          page.tell(statusOf(hub.status))
          void navigator.locks.request(m.lock, drop) // granted when the page is gone
          return
        case "follow": {
          const { id } = m
          handles.set(
            id,
            hub!.follow(m.channel, m.start, m.budget, {
              batch: (batch) => page.tell({ tell: "batch", id, batch }),
              budget: (ms) => page.tell({ tell: "budget", id, ms }),
              end: (error) => page.tell({ tell: "end", id, error: fault(error) }),
            }),
          )
          return
        }
        case "pause":
          return handles.get(m.id)?.pause(m.on)
        case "leave":
          handles.get(m.id)?.close()
          handles.delete(m.id)
          return
        case "publish":
          void hub!.publish(m.item).then(
            (answer) => page.tell({ tell: "published", id: m.id, answer }),
            (e: Error) => page.tell({ tell: "published", id: m.id, error: fault(e) }),
          )
          return
        case "force":
          return hub!.force(m.transport)
        case "token":
          tokens.get(m.id)?.(m)
          tokens.delete(m.id)
          return
        case "wake":
          return hub!.wake()
        case "bye":
          drop()
      }
    }
  }
  ;(globalThis as Scope).onconnect = (e) => accept(e.ports[0]!)
}
