// What the client needs of the world around it; tests bring their own.

import { bound } from "./machine.js"
import { TwohopError } from "./errors.js"
import type { ConnectOptions, Transport } from "./types.js"

export interface Clock {
  now(): number
  set(f: () => void, ms: number): unknown
  clear(timer: unknown): void
  random(): number
}

export const realClock: Clock = {
  now: Date.now,
  set: (f, ms) => setTimeout(f, ms),
  clear: (timer) => clearTimeout(timer as number),
  random: Math.random,
}

export interface Env {
  /** Address of the server, with a slash at its end. */
  base: string
  clock: Clock
  fetch: typeof fetch
  WebSocket?: typeof WebSocket
  token?: string | (() => string | Promise<string>)
  forced?: Transport
}

export function environment(o: ConnectOptions & { clock?: Clock }): Env {
  // A script that a server gave belongs to that server; any other, to its page's.
  const script = import.meta.url
  const page = globalThis.location?.origin
  const base = o.url ? new URL(o.url, page) : /^http.*\/twohop.js$/.test(script) ? new URL(".", script) : page && new URL(page)
  if (!base || !/^http/.test(base.protocol)) {
    throw new TwohopError("invalid_request", "no server", "connect({ url })")
  }
  return {
    ...o,
    base: base.origin + base.pathname.replace(/\/*$/, "/"),
    clock: o.clock ?? realClock,
    fetch: o.fetch ?? ((a, b) => fetch(a, b)),
    WebSocket: o.WebSocket ?? globalThis.WebSocket,
    forced: o.transport === "auto" ? undefined : o.transport,
  }
}

/** Resolves after a time, or when the signal says so. */
export const sleep = (clock: Clock, ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = clock.set(resolve, signal.aborted ? 0 : Math.max(0, ms))
    signal.addEventListener("abort", () => {
      clock.clear(timer)
      resolve()
    })
  })

/** Waits before the next try of a request that failed so many times. */
export const pause = (clock: Clock, { after = 0 }: TwohopError, fails: number, signal: AbortSignal): Promise<void> =>
  sleep(clock, after + clock.random() * bound({ pace: 1000, fails }), signal)

/** Text that nobody else has. */
export const unique = (): string => crypto.getRandomValues(new Uint32Array(4)).join("")
