// What follow() returns: batches by iterator or callback.

import type { Batch, FollowOptions, Sink, Start } from "./types.js"

export interface Follower extends AsyncIterable<Batch, void, undefined>, Sink {
  /** After the last batch that was given out. */
  offset?: string
  /** How late an update may be, as the server has it, in milliseconds. */
  budget?: number
  /** Resolves when the channel was closed or the follower was, and rejects with the error that ended it. */
  readonly done: Promise<void>
  /** Behind the last batch that has come. */
  at: Start
  /** Ends the follower; an iteration over it ends. */
  close(): void
  [Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined>
}

/** Batches that may wait for a slow reader; then the server keeps the rest. */
const most = 256

export function follower(channel: string, wanted: number, o: FollowOptions, ask: (what: "enter" | "leave", f: Follower) => void): Follower {
  const { offset, tailRecords, since, signal, onBatch, onReset } = o
  let queue: Batch[] = []
  let paused = false
  let ended = false
  let wake: (() => void) | undefined
  let settle: (result: void | Promise<void>) => void

  const f: Follower = {
    channel,
    wanted,
    at: { offset, tailRecords, since: since === undefined ? since : String(+since || since) },
    done: new Promise((resolve) => (settle = resolve)),
    close() {
      queue = []
      f.end()
    },
    batch(b) {
      if (ended) return
      f.at = { offset: b.offset }
      try {
        if (b.reset) onReset?.(b.reset)
        if (onBatch) {
          f.offset = b.offset
          onBatch(b)
        } else if (queue.push(b) >= most && !paused) {
          paused = true
          ask("leave", f)
        }
      } catch (e) {
        f.end(e as Error)
      }
      wake?.()
    },
    inForce(ms) {
      f.budget = ms
    },
    end(error) {
      if (ended) return
      ended = true
      signal?.removeEventListener("abort", f.close)
      ask("leave", f)
      settle(error && Promise.reject(error))
      wake?.()
    },
    async *[Symbol.asyncIterator]() {
      try {
        for (;;) {
          const b = queue.shift()
          if (b) {
            f.offset = b.offset
            yield b
          } else if (ended) {
            return f.done // which throws the error, if there was one
          } else if (paused) {
            paused = false
            ask("enter", f)
          } else await new Promise<void>((resolve) => (wake = resolve))
        }
      } finally {
        f.close()
      }
    },
  }
  f.done.catch(() => {}) // whoever iterates has the error there
  ask("enter", f)
  signal?.addEventListener("abort", f.close)
  if (signal?.aborted) f.end()
  return f
}
