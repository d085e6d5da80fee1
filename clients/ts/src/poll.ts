// Long polls and polls: one request after the other.
//
// A long poll asks for all channels at once, and waits at the server. A poll asks for
// each channel as often as its budget needs: pages of one channel have addresses that
// caches know, so a few channels are asked for one by one; many, and those that don't
// stand anywhere yet, in one request.

import { sleep } from "./env.js"
import { readPage } from "./http.js"
import type { Refusal } from "./http.js"
import type { Lane, Line, Sub } from "./lane.js"
import { interval } from "./need.js"
import { failureOf, subscribe } from "./subscribe.js"
import type { Frame } from "./types.js"

/** Channels that are asked for one by one. */
const few = 8
/** A request must be answered within this time: a long poll waits for 20 s. */
const patience = 60_000

function requests(line: Line, live: boolean): Lane {
  const { env } = line
  const due = new Map<string, number>()
  const missing = new Set<string>()
  let control = new AbortController()
  let nap = new AbortController()
  let closed = false
  let list: string[] = []

  const place = (s: Sub): void => {
    const at = s.cursor.offset
    if (at === undefined) line.places.delete(s.channel) // the answer says where
    else line.places.set(s.channel, { at })
  }

  async function page(s: Sub, signal: AbortSignal): Promise<void> {
    try {
      const place = { at: s.cursor.offset }
      const f = await readPage(env, s.channel, s.from, false, signal)
      line.places.set(s.channel, place)
      give([f], 0)
    } catch (e) {
      if (!/404|410/.test(String((e as Refusal).status))) throw e
      missing.add(s.channel) // whether it is worth waiting for, the other request tells
      due.delete(s.channel)
    }
  }

  async function all(subs: Sub[], wait: boolean, signal: AbortSignal): Promise<void> {
    subs.forEach(place)
    const answer = await subscribe(env, subs, wait ? "long-poll" : undefined, signal)
    const text = await answer.text()
    give(text ? (JSON.parse(text) as Frame[]) : [], text.length)
  }

  /** What is not up to date is asked for again at once. */
  function give(frames: Frame[], bytes: number): void {
    if (closed) return
    for (const f of frames) {
      bytes ||= JSON.stringify(f).length
      if (f.type === "subscribed" && !f.waiting) missing.delete(f.channel!)
      if (f.type === "reset" || (f.type === "data" && !f.upToDate)) due.delete(f.channel!)
    }
    line.fed(bytes)
    line.opened()
    line.frames(frames)
  }

  async function run(): Promise<void> {
    let idle = 0
    let first = true
    while (!closed) {
      const { signal } = (control = new AbortController())
      nap = new AbortController()
      const begun = env.clock.now()
      const subs = [...line.subs.values()].filter((s) => live || (due.get(s.channel) ?? 0) <= begun)
      list = [...line.subs.keys()]
      for (const s of subs) due.set(s.channel, begun + interval(s) * (0.9 + 0.1 * env.clock.random()))
      const known = subs.filter((s) => s.cursor.offset !== undefined && !missing.has(s.channel))
      const single = live || known.length > few ? [] : known
      const rest = subs.filter((s) => !single.includes(s))
      try {
        line.expect(patience, "lost")
        await Promise.all([...single.map((s) => page(s, signal)), rest.length ? all(rest, live && !first, signal) : 0])
        first = false
      } catch (e) {
        if (signal.aborted) continue
        return line.failed(...failureOf(env, e))
      }
      // A server or cache that answers at once with nothing must not be asked without end.
      idle = live && env.clock.now() - begun < 20 ? idle + 1 : 0
      const next = live ? begun + (idle > 20 ? 100 : 0) : Math.min(...[...line.subs.keys()].map((c) => due.get(c) ?? 0))
      const wait = next - env.clock.now()
      if (wait > 0) {
        line.expect(Infinity, "lost")
        await sleep(env.clock, Math.min(wait, 1e9), nap.signal)
      }
    }
  }

  void run()
  return {
    sync(again) {
      for (const c of again) due.delete(c)
      nap.abort()
      // Only a request that waits keeps others waiting.
      if (live && (again.size || line.subs.size !== list.length || list.some((c) => !line.subs.has(c)))) control.abort()
    },
    close() {
      closed = true
      nap.abort()
      control.abort()
    },
  }
}

export const longPoll = (line: Line): Lane => requests(line, true)
export const poll = (line: Line): Lane => requests(line, false)
