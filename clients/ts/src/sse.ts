// Server-Sent Events: one response for all channels. It is read with fetch, because an
// EventSource doesn't show that bytes are held back on the way, nor sends a token.

import { lost } from "./errors.js"
import { ends } from "./lane.js"
import type { Lane, Open } from "./lane.js"
import { failureOf, subscribe } from "./subscribe.js"
import type { Frame } from "./types.js"

/** A server says something at least this often. */
const heartbeat = 15_000

/** An event stream, line by line; feed() returns the arrays of frames that are complete. */
export function parser(): { feed(text: string): Frame[]; pace?: number } {
  let rest = ""
  let data = ""
  let plain = true
  const p: ReturnType<typeof parser> = {
    feed(text) {
      const lines = (rest + text).split("\n")
      rest = lines.pop()!
      const frames: Frame[] = []
      for (const raw of lines) {
        const line = raw.replace(/\r$/, "")
        const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line)!
        if (line === "") {
          if (data && plain) frames.push(...(JSON.parse(data) as Frame[]))
          data = ""
          plain = true
        } else if (field === "data") data += value
        else if (field === "event") plain = value === "message"
        else if (field === "retry" && /^\d+$/.test(value!)) p.pace = Number(value)
      }
      return frames
    },
  }
  return p
}

export const sse: Open = (line) => {
  const { env } = line
  let abort = new AbortController()
  let asked = new Set<string>()
  let closed = false
  let timer: unknown

  async function run(signal: AbortSignal): Promise<void> {
    let pace: number | undefined
    try {
      asked = new Set(line.subs.keys())
      line.places.clear()
      // The first bytes come at once, unless something on the way collects them.
      line.expect(line.forced ? 15_000 : 2000, "refused")
      const answer = await subscribe(env, line.subs.values(), "sse", signal)
      if (!/^text\/event-stream/.test(answer.headers.get("Content-Type") ?? "")) throw lost("not an event stream")
      const reader = answer.body!.getReader()
      const decoder = new TextDecoder()
      const events = parser()
      let first = true
      for (;;) {
        const { done, value } = await reader.read()
        if (signal.aborted) return
        if (done) break
        line.fed(value.length)
        if (first) {
          first = false
          line.expect(2.5 * heartbeat, "lost")
          line.opened()
        }
        const frames = events.feed(decoder.decode(value, { stream: true }))
        pace = events.pace
        for (const f of frames) if (ends(f)) asked.delete(f.channel!)
        if (frames.length) line.frames(frames)
        if (signal.aborted) return
      }
      line.ended(pace)
    } catch (e) {
      if (!signal.aborted) line.failed(...failureOf(env, e))
    }
  }

  const lane: Lane = {
    // The list of a response can't be changed: another one takes its place, a little
    // later, because changes seldom come alone. To be rid of a channel is less urgent.
    sync(again) {
      const hurry = again.size > 0 || [...line.subs.keys()].some((c) => !asked.has(c))
      if (closed || (!hurry && asked.size === line.subs.size)) return
      for (const c of again) line.places.delete(c)
      env.clock.clear(timer)
      timer = env.clock.set(() => {
        abort.abort()
        abort = new AbortController()
        void run(abort.signal)
      }, hurry ? 20 : 2000)
    },
    close() {
      closed = true
      env.clock.clear(timer)
      abort.abort()
    },
  }
  void run(abort.signal)
  return lane
}
