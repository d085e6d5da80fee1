// Follows and publishes to channels of a twohop server.
//
//   import { follow, publish } from "twohop"
//   for await (const batch of follow("chat/1", { tailRecords: 50 })) show(batch.records)
//   await publish("chat/1", { say: "hello" })

import { Client } from "./client.js"
import { share } from "./shared.js"
import { transports } from "./transports.js"
import type { Follower } from "./follower.js"
import type { ConnectOptions, FollowOptions, Published, PublishOptions } from "./types.js"

/** Makes a client; it connects when something is followed. */
export const connect = (options: ConnectOptions = {}): Client => new Client(options, transports, share)

let common: Client | undefined
const shared = (): Client => (common ??= connect())

/** Follows a channel over the page's common connection. */
export const follow = (channel: string, options?: FollowOptions): Follower => shared().follow(channel, options)

/** Publishes over the page's common connection. */
export const publish = (channel: string, value?: unknown, options?: PublishOptions): Promise<Published> =>
  shared().publish(channel, value, options)

export { TwohopError } from "./errors.js"
export type { Client, Follower }
export type * from "./types.js"
