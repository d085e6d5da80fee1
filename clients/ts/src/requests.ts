// What the transports over HTTP share: requests to /v1/subscribe (PROTOCOL.md 9), and
// the loop that makes one after the other.

import type { Env } from "./env.js"
import { asError } from "./errors.js"
import { again, request, where } from "./http.js"
import { list } from "./lane.js"
import type { Lane, Line, Sub } from "./lane.js"

/** Longer addresses go by POST. */
const longest = 4000

export function subscribe(env: Env, subs: Sub[], live: string | undefined, signal: AbortSignal): Promise<Response> {
  const q = new URLSearchParams()
  if (live) q.append("live", live)
  for (const { channel, from, budget } of subs) {
    q.append("channel", channel)
    where(q, from)
    if (budget) q.append("budget", budget + "ms")
  }
  const path = "v1/subscribe"
  return String(q).length < longest
    ? request(env, path + "?" + q, { signal, cache: "no-store" })
    : request(env, path, { signal, method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ live, channels: list(subs) }) })
}

/** Calls once again and again. Its signal is aborted when the list of channels is another one. */
export function loop(line: Line, once: (signal: AbortSignal) => Promise<void>): Lane {
  const { env, subs, places } = line
  const names = (): string => [...subs.keys()].join("\n")
  let control: AbortController
  let asked: string
  let closed = false
  let timer: unknown

  async function run(): Promise<void> {
    while (!closed) {
      const { signal } = (control = new AbortController())
      asked = names()
      try {
        await once(signal)
      } catch (e) {
        if (signal.aborted) continue
        const error = asError(e)
        line.broke(again(env, error) ? "lost" : /40[456]|426|501/.test(error.status as unknown as string) ? "refused" : "denied", error)
      }
    }
  }

  void run()
  return {
    // Changes seldom come alone, so they wait a little.
    sync(again) {
      for (const c of again) places.delete(c)
      if (!again.size && asked === names()) return
      env.clock.clear(timer)
      timer = env.clock.set(() => control.abort(), 20)
    },
    close() {
      closed = true
      env.clock.clear(timer)
      control.abort()
    },
  }
}
