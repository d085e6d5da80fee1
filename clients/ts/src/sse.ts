// Server-Sent Events: one response for all channels. It is read with fetch, because an
// EventSource doesn't show that bytes are held back on the way, nor sends a token.

import { lost } from "./errors.js"
import { milliseconds } from "./need.js"
import type { Open } from "./lane.js"
import { loop, subscribe } from "./requests.js"
import type { Frame } from "./types.js"

/** A server says something at least this often, unless it tells another pace. */
const heartbeat = 15_000

/** An event stream; feed() returns the frames of the events that are complete. */
export function parser(): { feed(text: string): Frame[]; pace?: number } {
  // Each event keeps a line end before it, so that lines are found by LF: what else ^ and . take for one may be in a record.
  let rest = "\n"
  const p: ReturnType<typeof parser> = {
    feed(text) {
      const events = (rest + text).split(/\n(?=\n)/)
      rest = events.pop()!
      return events.flatMap((event) => {
        const pace = /\nretry: ?(\d+)/.exec(event)
        if (pace) p.pace = +pace[1]!
        // Spaces before JSON mean nothing.
        const data = event.replace(/\n(data:|[^\n]*)/g, "")
        return data && !/\nevent/.test(event) ? (JSON.parse(data) as Frame[]) : []
      })
    },
  }
  return p
}

export const sse: Open = (line) =>
  loop(line, async (signal) => {
    line.places.clear()
    // The first bytes come at once, unless something on the way collects them.
    line.expect(line.forced ? 15_000 : 2000, "refused")
    const answer = await subscribe(line.env, [...line.subs.values()], "sse", signal)
    if (!/^text\/event-stream/.test(answer.headers.get("Content-Type")!)) throw lost("no twohop server")
    const patience = 2.5 * Math.max(heartbeat, milliseconds(answer.headers.get("Stream-Heartbeat")) || 0)
    const reader = answer.body!.getReader()
    const decoder = new TextDecoder()
    const events = parser()
    for (;;) {
      const { done, value } = await reader.read()
      if (signal.aborted) return
      if (done) return line.over(events.pace)
      line.fed(value.length)
      line.expect(patience, "lost")
      line.made()
      line.frames(events.feed(decoder.decode(value, { stream: true })))
    }
  })
