// The client: what users hold.

import { environment } from "./env.js"
import type { Clock } from "./env.js"
import { closedError, TwohopError } from "./errors.js"
import { follower, type Follower } from "./follower.js"
import { connection, none } from "./hub.js"
import type { Transports } from "./hub.js"
import { milliseconds } from "./need.js"
import { itemOf } from "./publish.js"
import type { ConnectOptions, FollowOptions, Hub, Published, PublishOptions, Status, Transport } from "./types.js"

/** Makes the hub that tabs share; undefined, or a promise of it, where that is impossible. */
export type Share = (o: ConnectOptions & { url: string }, changed: () => void) => Promise<Hub | undefined> | undefined

export class Client extends EventTarget {
  #hub?: Hub
  /** Comes when it is clear whether tabs can share. */
  readonly #ready: Promise<Hub>
  #transport: Transport | "auto"
  readonly #budget: number | string | undefined

  constructor(o: ConnectOptions & { clock?: Clock }, transports: Transports, share?: Share) {
    super()
    const env = environment(o)
    this.#transport = o.transport ?? "auto"
    this.#budget = o.budget
    const changed = (): boolean => this.dispatchEvent(new Event("status"))
    const shared = o.shared && share?.({ ...o, url: env.base }, changed)
    this.#ready = Promise.resolve(shared).then((hub) => {
      this.#hub = hub || connection(env, transports, changed)
      changed()
      return this.#hub
    })
  }

  /** What the connection does; a "status" event tells of changes other than counts. */
  get status(): Status {
    return this.#hub?.status ?? { ...none, state: "connecting" }
  }

  /** What was chosen; `status.transport` is what is in use. */
  get transport(): Transport | "auto" {
    return this.#transport
  }

  /** Changes the transport in mid-stream. The new one is made before the old one is dropped. */
  set transport(t: Transport | "auto") {
    this.#transport = t
    void this.#ready.then((h) => h.force(t === "auto" ? undefined : t))
  }

  /** Follows a channel; the follower is an async iterator of batches. */
  follow(channel: string, o: FollowOptions = {}): Follower {
    const budget = o.budget ?? this.#budget
    const ms = Math.floor(milliseconds(budget)) // servers take whole ones only
    const { tailRecords = 0 } = o
    const bad = ms >= 0 ? tailRecords !== tailRecords >>> 0 && "tailRecords" : "budget: " + budget
    if (bad) throw new TwohopError("invalid_parameter", "bad " + bad)
    return follower(channel, ms, o, (what, f) =>
      void this.#ready.then((h) => (h.status.state === "closed" ? f.end() : h[what](f))),
    )
  }

  /** Publishes one value, or each value of an array. It is sent until it is answered, and takes effect once. */
  publish(channel: string, value?: unknown, o: PublishOptions = {}): Promise<Published> {
    return new Promise((resolve, reject) => {
      const { signal } = o
      signal?.throwIfAborted()
      const item = itemOf(channel, value, o)
      const stop = (): void => reject(signal!.reason as Error)
      signal?.addEventListener("abort", stop)
      this.#ready
        .then((h) => (h.status.state === "closed" ? Promise.reject(closedError()) : h.publish(item, signal)))
        .then(resolve, reject)
        .finally(() => signal?.removeEventListener("abort", stop))
    })
  }

  /** Ends all followers, and gives up what is not published yet. */
  close(): void {
    void this.#ready.then((h) => h.close())
  }
}
