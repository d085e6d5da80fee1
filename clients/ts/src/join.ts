// Who begins to follow a channel that is followed here already, somewhere else in it,
// reads on its own until both stand at the same place. From then on it shares. Nobody
// counts in offsets, so they must meet at one exactly; as long as they don't, it reads
// on alone, which is as good.

import { batchOf } from "./channels.js"
import type { Subscription } from "./channels.js"
import { pause, sleep } from "./env.js"
import type { Env } from "./env.js"
import { asError } from "./errors.js"
import { again, readPage } from "./http.js"
import type { Sink } from "./types.js"

/** A page must be there within this time: a long poll waits for 20 s. */
const patience = 60_000

/** Reads for the sink until the signal ends it, and calls meet behind each page. */
export async function join(env: Env, { channel }: Subscription, sink: Sink, meet: () => void, signal: AbortSignal): Promise<void> {
  const { clock } = env
  let live: boolean | undefined
  let fails = 0
  while (!signal.aborted) {
    const begun = clock.now()
    const page = new AbortController()
    const timer = clock.set((signal.onabort = () => page.abort()), patience)
    try {
      const f = await readPage(env, channel, sink.at, live, page.signal).finally(() => clock.clear(timer))
      if (signal.aborted) return
      fails = 0
      // Nothing new: a server that drains says so at once, and must not be asked without end.
      if (live && f.upToDate && !f.closed && f.offset === sink.at.offset) {
        await sleep(clock, begun + 1000 - clock.now(), page.signal)
        continue
      }
      live = f.upToDate
      sink.batch(batchOf(f))
      if (f.closed || f.reason === "deleted") return sink.end()
      meet()
    } catch (e) {
      if (signal.aborted) return
      const error = asError(e)
      // Whether it is worth waiting for a channel that is not there, the one who shares is told.
      if (!again(env, error) && error.status !== 404) return sink.end(error)
      await pause(clock, error, ++fails, signal)
    }
  }
}
