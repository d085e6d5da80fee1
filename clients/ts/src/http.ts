// Requests, and what their answers say in headers.

import { asError, lost, told, TwohopError } from "./errors.js"
import type { Env } from "./env.js"
import type { Frame, Start } from "./types.js"

export const tokenOf = async ({ token }: Pick<Env, "token">): Promise<string | undefined> => (typeof token === "function" ? token() : token)

interface Init extends RequestInit {
  headers?: Record<string, string>
  signal: AbortSignal
}

/** fetch, with the token, until the signal comes; an answer that is not a success becomes a TwohopError. */
export async function request(env: Env, path: string, init: Init): Promise<Response> {
  const { signal } = init
  const stopped = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
  const token = await Promise.race([tokenOf(env), stopped]).catch((e) => {
    throw asError(e)
  })
  const headers = { ...init.headers, ...(token && { Authorization: "Bearer " + token }) }
  const answer = await env.fetch(env.base + path, { ...init, headers })
  const { status, headers: h, ok } = answer
  if (ok) return answer
  const body = (await answer.json().catch(() => ({}))) as Frame // a proxy's page is none
  // A 404 that is not the server's is a balancer's that has none just now. Its code may be a number.
  const retry = /^(404(?!not_)|408|42[59]|5(?!01)|400body)/.test(status + ("" + body.code))
  throw Object.assign(told({ code: retry ? "unavailable" : "invalid_request", message: "HTTP " + status, ...body }), {
    status,
    retry,
    after: Math.min(+h.get("Retry-After")! * 1000, mostPatience) || undefined, // a date is not looked at
    offset: h.get("Stream-Next-Offset") ?? undefined,
    reset: body.code === "reset" ? body : undefined,
  })
}

/** The longest wait that a server may ask for. */
const mostPatience = 300_000

export interface Refusal extends TwohopError {
  reset?: Frame
}

/** Whether to try again: a fresh token may mend it, too. */
export const again = ({ token }: Env, { retry, status }: TwohopError): boolean => retry !== false || (status === 401 && typeof token === "function")

export function pathOf(channel: string): string {
  const path = "v1/stream/" + encodeURIComponent(channel).replace(/%2F/g, "/")
  // Such a path is taken for another one, which may be a channel's.
  if (/\/\.\.?(\/|$)/.test(path)) throw new TwohopError("invalid_name", "bad name: " + channel, "no . or ..", { retry: false })
  return path
}

/** The parameters of where a subscription begins. */
export function where(q: URLSearchParams, s: Start): URLSearchParams {
  if (s.tailRecords! >= 0) q.append("tail_records", s.tailRecords as unknown as string)
  else q.append(s.since ? "since" : "offset", s.since ?? s.offset ?? "now")
  return q
}

/** Where those stand who have nothing to go on from: the beginning of any log. */
export const beginning = "0000000000000000_0000000000000000"

/** One page of one channel, as the frame that it would be elsewhere. */
export async function readPage(env: Env, channel: string, start: Start, live: boolean | undefined, signal: AbortSignal): Promise<Frame> {
  const q = where(new URLSearchParams(), start)
  if (live) q.append("live", "long-poll")
  let answer: Response
  try {
    answer = await request(env, pathOf(channel) + "?" + q, { signal })
  } catch (e) {
    const r = (e as Refusal).reset
    if (!r) throw e
    return { ...r, type: "reset", channel, offset: r.reason === "ahead" ? r.tail : (r.start ?? beginning) }
  }
  const has = (name: string): boolean => answer.headers.get(name) === "true"
  const offset = answer.headers.get("Stream-Next-Offset")
  if (!offset) throw lost("no twohop server")
  const closed = has("Stream-Closed")
  const frame: Frame = { type: "data", channel, offset, closed, upToDate: closed || has("Stream-Up-To-Date") }
  const type = answer.headers.get("Content-Type")!
  if (answer.status === 204) return frame
  if (/[/+]json\b/i.test(type)) frame.records = (await answer.json()) as unknown[]
  else if (/^text\//i.test(type)) frame.text = await answer.text()
  else frame.bytes = new Uint8Array(await answer.arrayBuffer())
  return frame
}
