// What follow() returns: batches by iterator or callback.

import type { Batch, FollowOptions, Handle, Sink, Start } from "./types.js"

/** Batches that may wait for a slow reader; then the server keeps the rest. */
const most = 256

export class Follower implements AsyncIterable<Batch> {
  /** After the last batch that was given out. */
  offset?: string
  /** How late an update may be, as the server has it, in milliseconds. */
  budget?: number
  /** Resolves when the channel was closed or the follower was, and rejects with the error that ended it. */
  readonly done: Promise<void>

  readonly sink: Sink
  handle?: Handle
  #queue: Batch[] = []
  #paused = false
  #ended = false
  #error?: Error
  #wake?: () => void
  #settle!: (error?: Error) => void

  constructor(
    readonly channel: string,
    private readonly start: Start,
    /** The budget that was asked for. */
    readonly wanted: string | undefined,
    private readonly options: FollowOptions,
    private readonly forget: () => void,
  ) {
    this.done = new Promise((resolve, reject) => (this.#settle = (e) => (e ? reject(e) : resolve())))
    this.done.catch(() => {}) // whoever iterates has the error there
    this.sink = {
      batch: (b) => this.#take(b),
      budget: (ms) => (this.budget = ms),
      end: (e) => this.#end(e),
    }
  }

  /** Where another connection goes on: behind all that has come. */
  get from(): Start {
    const offset = this.#queue.at(-1)?.offset ?? this.offset
    return offset ? { offset } : this.start
  }

  close(): void {
    this.#queue = []
    this.handle?.close()
    this.#end()
  }

  #take(b: Batch): void {
    if (this.#ended) return
    const { onBatch, onReset } = this.options
    if (!onBatch) {
      this.#queue.push(b)
      if (this.#queue.length >= most && !this.#paused) this.handle?.pause((this.#paused = true))
    }
    try {
      if (b.reset) onReset?.(b.reset)
      if (onBatch) {
        this.offset = b.offset
        onBatch(b)
      }
    } catch (e) {
      this.handle?.close()
      this.#end(e as Error)
    }
    this.#wake?.()
  }

  #end(error?: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    this.forget()
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
          if (this.#error) throw this.#error
          return
        } else if (this.#paused) this.handle?.pause((this.#paused = false))
        else await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      this.close()
    }
  }
}
