// The client: what users hold.

import { environment } from "./env.js"
import type { Clock } from "./env.js"
import { TwohopError } from "./errors.js"
import { Follower } from "./follower.js"
import { Connection } from "./hub.js"
import type { Transports } from "./hub.js"
import { milliseconds } from "./need.js"
import { itemOf } from "./publish.js"
import type { ConnectOptions, FollowOptions, Hub, Published, PublishOptions, Status, Transport } from "./types.js"

/** Makes the hub that tabs share, or nothing where that is impossible; fail is called if that turns out later. */
export type Share = (o: ConnectOptions & { url: string }, changed: (s: Status) => void, fail: () => void) => Hub | undefined

const text = (budget: number | string | undefined): string | undefined => {
  const ms = milliseconds(budget)
  if (!(ms >= 0)) throw new TwohopError("invalid_parameter", "no budget: " + budget, 'write milliseconds, or "250ms", "2s"')
  return budget === undefined ? undefined : ms + "ms"
}

export class Client extends EventTarget {
  #hub: Hub
  #status!: Status
  #transport: Transport | "auto"
  readonly #budget: number | string | undefined
  readonly #followers = new Set<Follower>()
  readonly #publishes = new Set<() => void>()

  constructor(o: ConnectOptions & { clock?: Clock }, transports: Transports, share?: Share) {
    super()
    const env = environment(o)
    this.#transport = o.transport ?? "auto"
    this.#budget = o.budget
    const changed = (s: Status): void => {
      this.#status = s
      this.dispatchEvent(new Event("status"))
    }
    const alone = (): Hub => {
      const hub = new Connection({ ...env, forced: this.#forced }, transports, changed)
      this.#status = hub.status
      return hub
    }
    const fail = (): void => {
      this.#hub = alone()
      for (const f of this.#followers) this.#begin(f)
      for (const again of this.#publishes) again()
    }
    this.#hub = (o.shared && share?.({ ...o, url: env.base }, changed, fail)) || alone()
  }

  get #forced(): Transport | undefined {
    return this.#transport === "auto" ? undefined : this.#transport
  }

  /** What the connection does; a "status" event tells of changes other than counts. */
  get status(): Status {
    return this.#hub.status ?? this.#status
  }

  /** What was chosen; `status.transport` is what is in use. */
  get transport(): Transport | "auto" {
    return this.#transport
  }

  /** Changes the transport in mid-stream. The new one is made before the old one is dropped. */
  set transport(t: Transport | "auto") {
    this.#transport = t
    this.#hub.force(this.#forced)
  }

  /** Follows a channel; the follower is an async iterator of batches. */
  follow(channel: string, o: FollowOptions = {}): Follower {
    const budget = text(o.budget ?? this.#budget)
    const since = o.since instanceof Date ? o.since.toISOString() : o.since?.toString()
    const f = new Follower(channel, { offset: o.offset, tailRecords: o.tailRecords, since }, budget, o, () => this.#followers.delete(f))
    this.#followers.add(f)
    this.#begin(f)
    o.signal?.addEventListener("abort", () => f.close(), { once: true })
    if (o.signal?.aborted) f.close()
    return f
  }

  /** Publishes one value, or each value of an array. It is sent until it is answered, and takes effect once. */
  publish(channel: string, value?: unknown, o: PublishOptions = {}): Promise<Published> {
    return new Promise((resolve, reject) => {
      const { signal } = o
      const aborted = (): void => reject(signal!.reason)
      if (signal?.aborted) return aborted()
      signal?.addEventListener("abort", aborted, { once: true })
      const item = itemOf(channel, value, o)
      const send = (): void => {
        void this.#hub
          .publish(item)
          .then(resolve, reject)
          .finally(() => this.#publishes.delete(send))
      }
      this.#publishes.add(send)
      send()
    })
  }

  /** Ends all followers, and gives up what is not published yet. */
  close(): void {
    for (const f of this.#followers) f.close()
    this.#hub.close()
  }

  #begin(f: Follower): void {
    f.handle = this.#hub.follow(f.channel, f.from, f.wanted, f.sink)
  }
}
