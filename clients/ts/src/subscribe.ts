// /v1/subscribe (PROTOCOL.md 9): many channels over one request.

import type { Env } from "./env.js"
import { request, where } from "./http.js"
import type { Failure } from "./machine.js"
import type { Sub } from "./lane.js"
import { asError } from "./errors.js"
import type { Refusal } from "./http.js"

/** Longer addresses go by POST. */
const longest = 4000

export function subscribe(env: Env, subs: Iterable<Sub>, live: string | undefined, signal: AbortSignal): Promise<Response> {
  const list = [...subs]
  const q = new URLSearchParams()
  if (live) q.append("live", live)
  for (const s of list) {
    q.append("channel", s.channel)
    where(q, s.from)
    if (s.budget) q.append("budget", s.budget + "ms")
  }
  const path = "v1/subscribe?" + q
  if (path.length < longest) return request(env, path, { signal, cache: "no-store" })
  const body = JSON.stringify({ live, channels: list.map((s) => ({ channel: s.channel, budget: s.budget, ...s.from })) })
  return request(env, "v1/subscribe", { signal, method: "POST", headers: { "Content-Type": "application/json" }, body })
}

/** What an error of such a request says of the transport. */
export const failureOf = (env: Env, e: unknown): [Failure, Refusal] => {
  const error: Refusal = asError(e)
  const { status, retry } = error
  if (status === 401 && typeof env.token === "function") return ["lost", error]
  if (retry !== false) return ["lost", error]
  return [[404, 405, 406, 426, 501].includes(status!) ? "refused" : "denied", error]
}
