// What follow() returns: batches by iterator or callback.

import type { Batch, FollowOptions, Sink, Start } from "./types.js"

/** Batches that may wait for a slow reader; then the server keeps the rest. */
const most = 256

export class Follower implements AsyncIterable<Batch>, Sink {
  /** After the last batch that was given out. */
  offset?: string
  /** How late an update may be, as the server has it, in milliseconds. */
  budget?: number
  /** Resolves when the channel was closed or the follower was, and rejects with the error that ended it. */
  readonly done: Promise<void>
  /** Behind the last batch that has come. */
  at: Start

  #queue: Batch[] = []
  #paused = false
  #ended = false
  #wake?: () => void
  #settle!: (error?: Error) => void
  #abort = (): void => this.close()

  constructor(
    readonly channel: string,
    readonly wanted: number,
    private readonly options: FollowOptions,
    private readonly ask: (what: "enter" | "leave", f: Follower) => void,
  ) {
    const { offset, tailRecords, since, signal } = options
    this.at = { offset, tailRecords, since: since === undefined ? since : String(+since || since) }
    this.done = new Promise((resolve, reject) => (this.#settle = (e) => (e ? reject(e) : resolve())))
    this.done.catch(() => {}) // whoever iterates has the error there
    ask("enter", this)
    signal?.addEventListener("abort", this.#abort)
    if (signal?.aborted) this.end()
  }

  /** Ends the follower; an iteration over it ends. */
  close(): void {
    this.#queue = []
    this.end()
  }

  /** @internal */
  batch(b: Batch): void {
    const { onBatch, onReset } = this.options
    if (this.#ended) return
    this.at = { offset: b.offset }
    try {
      if (b.reset) onReset?.(b.reset)
      if (onBatch) {
        this.offset = b.offset
        onBatch(b)
      } else if (this.#queue.push(b) >= most && !this.#paused) {
        this.#paused = true
        this.ask("leave", this)
      }
    } catch (e) {
      this.end(e as Error)
    }
    this.#wake?.()
  }

  /** @internal */
  inForce(ms: number): void {
    this.budget = ms
  }

  /** @internal */
  end(error?: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.options.signal?.removeEventListener("abort", this.#abort)
    this.ask("leave", this)
    this.#settle(error)
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    try {
      for (;;) {
        const b = this.#queue.shift()
        if (b) {
          this.offset = b.offset
          yield b
        } else if (this.#ended) {
          return this.done // which throws the error, if there was one
        } else if (this.#paused) {
          this.#paused = false
          this.ask("enter", this)
        } else await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      this.close()
    }
  }
}
