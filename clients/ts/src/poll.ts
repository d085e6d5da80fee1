// Long polls and polls.
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
import { loop, subscribe } from "./requests.js"
import type { Frame } from "./types.js"

/** Channels that are asked for one by one. */
const few = 8
/** A request must be answered within this time: a long poll waits for 20 s. */
const patience = 60_000

/** One request for several channels. */
async function ask(line: Line, subs: Sub[], live: string | undefined, signal: AbortSignal): Promise<Frame[]> {
  for (const { channel, cursor } of subs) {
    // Of a channel that doesn't stand anywhere yet, the answer says where it begins.
    if (cursor.offset) line.places.set(channel, { at: cursor.offset })
    else line.places.delete(channel)
  }
  const text = await (await subscribe(line.env, subs, live, signal)).text()
  line.fed(text.length)
  return text ? (JSON.parse(text) as Frame[]) : []
}

export function longPoll(line: Line): Lane {
  const { clock } = line.env
  let live: "long-poll" | undefined // the first request is answered at once
  return loop(line, async (signal) => {
    const begun = clock.now()
    line.expect(patience, "lost")
    const frames = await ask(line, [...line.subs.values()], live, signal)
    line.made()
    line.frames(frames)
    // A server or cache that answers at once with nothing must not be asked without end.
    if (live && !frames.length) await sleep(clock, Math.max(0, begun + 1000 - clock.now()), signal)
    live = "long-poll"
  })
}

export function poll(line: Line): Lane {
  const { env, places } = line
  const { clock } = env
  const due = new Map<string, number>()
  const missing = new Set<string>()

  return loop(line, async (signal) => {
    const begun = clock.now()
    const give = (s: Sub[], frames: Frame[]): void => {
      // What is not up to date is asked for again at once.
      for (const { channel } of s) due.set(channel, begun + interval(line.subs.get(channel) ?? s[0]!) * (0.9 + 0.1 * clock.random()))
      for (const { type, upToDate, waiting, channel } of frames) {
        if (type === "subscribed" && !waiting) missing.delete(channel!)
        if (type === "reset" || (type === "data" && !upToDate)) due.delete(channel!)
      }
      line.made()
      line.frames(frames)
    }
    const page = async (s: Sub): Promise<void> => {
      try {
        const place = { at: s.cursor.offset }
        const f = await readPage(env, s.channel, s.from, false, signal)
        places.set(s.channel, place)
        line.fed(JSON.stringify(f).length)
        give([s], [f])
      } catch (e) {
        if (!/404|410/.test(String((e as Refusal).status))) throw e
        missing.add(s.channel) // whether it is worth waiting for, the other request tells
      }
    }

    const subs = [...line.subs.values()].filter(({ channel }) => !(due.get(channel)! > begun && places.get(channel)))
    const single = subs.filter((s) => s.cursor.offset && !missing.has(s.channel)).slice(0, subs.length > few ? 0 : few)
    const rest = subs.filter((s) => !single.includes(s))
    line.expect(patience, "lost")
    await Promise.all([...single.map(page), rest.length && ask(line, rest, undefined, signal).then((f) => give(rest, f))])
    const wait = Math.min(1e9, ...[...line.subs.keys()].map((c) => (due.get(c) ?? 0) - clock.now()))
    line.expect(wait + patience, "lost")
    if (wait > 0) await sleep(clock, wait, signal)
  })
}
