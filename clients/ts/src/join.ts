// Who begins to follow a channel that is followed here already, somewhere else in it,
// reads on its own until it stands where one of the shared batches begins. From then on
// it shares. Nobody counts in offsets, so the two must meet at one exactly; as long as
// they don't, it reads on alone, which is as good.

import { batchOf } from "./channels.js"
import type { Kept, Subscription } from "./channels.js"
import { sleep } from "./env.js"
import type { Env } from "./env.js"
import { asError } from "./errors.js"
import { readPage } from "./http.js"
import { bound, initial } from "./machine.js"
import type { Sink } from "./types.js"

/** How long to wait for the shared batches to come as far. */
const patience = 500

/**
 * Reads for the sink until it can share with the subscription, then attaches it. Resolves when that is done or the sink
 * has its end, with true if there is nothing to share with any more.
 */
export async function join(env: Env, sub: Subscription, sink: Sink, attach: () => void, signal: AbortSignal): Promise<boolean | undefined> {
  const kept: Kept[] = []
  let moved = (): void => {}
  let live = false
  let fails = 0
  sub.joiners.set(kept, () => moved())
  try {
    while (!signal.aborted) {
      if (!sub.sinks.size) return true
      const at = sink.at.offset ?? ""
      const met = kept.findIndex((k) => k.from === at)
      if (met >= 0 || sub.cursor.offset === at) {
        for (const k of met < 0 ? [] : kept.slice(met)) if (!signal.aborted) sink.batch(k.batch)
        if (!signal.aborted) attach()
        return
      }
      while (kept.length && kept[0]!.batch.offset <= at) kept.shift()
      if (live && at > (sub.cursor.offset ?? "")) {
        const before = sub.cursor
        const nap = new AbortController()
        moved = () => nap.abort()
        await sleep(env.clock, patience, nap.signal)
        if (before !== sub.cursor) continue
      }
      try {
        const f = await readPage(env, sub.channel, sink.at, live, signal)
        if (signal.aborted) break
        fails = 0
        live = !!f.upToDate
        sink.batch(batchOf(f))
        if (!f.closed && f.reason !== "deleted") continue
        sink.end()
      } catch (e) {
        if (signal.aborted) break
        const error = asError(e)
        if (error.retry !== false) {
          await sleep(env.clock, (error.after ?? 0) + env.clock.random() * bound({ ...initial(), fails: ++fails }), signal)
          continue
        }
        sink.end(error)
      }
      return
    }
  } finally {
    sub.joiners.delete(kept)
  }
}
