// Long polls and polls.
//
// A long poll asks for all channels at once, and waits at the server. A poll asks for
// each channel as often as its budget needs: pages of one channel have addresses that
// caches know, so a few channels are asked for one by one; many, and those that don't
// stand anywhere yet, in one request.

import { sleep } from "./env.js"
import { asError, fault, mends, type TwohopError } from "./errors.js"
import { again, readPage } from "./http.js"
import type { Lane, Line, Sub } from "./lane.js"
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
    line.places.set(channel, cursor.offset ? { at: cursor.offset } : undefined)
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
    if (live && !frames.length) await sleep(clock, begun + 1000 - clock.now(), signal)
    live = "long-poll"
  })
}

export function poll(line: Line): Lane {
  const { env, places } = line
  const { clock } = env
  const due = new Map<string, number>()

  return loop(line, async (signal) => {
    const begun = clock.now()
    const give = async (asked: Sub[], answer: Promise<Frame[]>): Promise<void> => {
      const frames = await answer.catch((e: TwohopError): Frame[] => {
        // What is wrong with one channel ends that one only.
        const { channel } = asked[1] ? e : asked[0]!
        if (!channel || mends(e.code) || again(env, asError(e))) throw e
        return [{ ...fault(e), type: "error", channel }]
      })
      for (const { channel, advice, budget } of asked) {
        due.set(channel, begun + Math.max(1000, advice?.interval ?? budget - 1000) * (0.9 + 0.1 * clock.random()))
      }
      // What is not up to date is asked for again at once.
      for (const f of frames) if (f.reason || (f.type === "data" && !f.upToDate)) due.delete(f.channel!)
      line.made()
      line.frames(frames)
    }
    const page = ({ channel, cursor, from }: Sub): Promise<Frame[]> =>
      readPage(env, channel, from, false, signal).then((f) => {
        places.set(channel, { at: cursor.offset })
        line.fed(JSON.stringify(f).length)
        return [f]
      })

    const subs = [...line.subs.values()].filter(({ channel }) => !(due.get(channel)! > begun && places.get(channel)))
    // Who waits for a channel to be created stands at the beginning of any log, which is all zeros.
    const others: Sub[] = []
    line.expect(patience, "lost")
    const single = subs.map((s) => (subs.length > few || !/[1-9]/.test(s.cursor.offset!) ? others.push(s) : give([s], page(s))))
    await Promise.all([...single, others.length && give(others, ask(line, others, undefined, signal))])
    const wait = Math.min(1e9, ...[...line.subs.keys()].map((c) => (due.get(c) ?? 0) - clock.now()))
    line.expect(wait + patience, "lost")
    if (wait > 0) await sleep(clock, wait, signal)
  })
}
