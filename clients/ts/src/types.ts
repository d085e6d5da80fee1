// The words of the package: what its users see, and the frames of the wire.

/** How updates get here. */
export type Transport = "ws" | "sse" | "long-poll" | "poll"

/** The server's hint which transport meets a budget at the least cost. */
export interface Advice {
  transport: Transport
  /** Milliseconds between polls. */
  interval?: number
}

/** Why an offset could not be served, and where it went on. */
export interface Reset {
  reason: "trimmed" | "ahead" | "epoch" | "deleted"
  start?: string
  tail?: string
  /** Records that are lost, where the server knows. */
  missed?: number
}

/** A run of consecutive records of one channel. It is shared by all followers of the channel: don't change it. */
export interface Batch {
  channel: string
  /** The values of a JSON channel; empty in others. */
  records: unknown[]
  /** What a text channel grew by. */
  text?: string
  /** What any other channel grew by. */
  bytes?: Uint8Array
  /** After this batch: go on from here with `follow(channel, { offset })`. */
  offset: string
  /** Nothing more was there when the server sent this. */
  upToDate: boolean
  /** The channel has ended; this is the last batch. */
  closed: boolean
  /** Records between the last batch and this one are lost, and this says why. */
  reset?: Reset
}

export interface ConnectOptions {
  /** Address of the server; by default where the page or the script came from. */
  url?: string | URL
  /** A token, or what gives a fresh one; it is asked before each request. */
  token?: string | (() => string | Promise<string>)
  /** `auto` by default. */
  transport?: Transport | "auto"
  /** Tabs of one browser share a connection. The address of the worker's script, where it is not this script's own. */
  shared?: boolean | string | URL
  /** How late updates may be, for all that is followed without its own budget: milliseconds, or for example "2s". */
  budget?: number | string
  fetch?: typeof fetch
  WebSocket?: typeof WebSocket
}

export interface FollowOptions {
  /** Where to begin: after this offset, "-1" for the start, or "now" (by default). */
  offset?: string
  /** Begin before the last so many records. */
  tailRecords?: number
  /** Begin with what came at this time or later. */
  since?: string | number | Date
  /** How late an update may be. */
  budget?: number | string
  signal?: AbortSignal
  /** Takes the batches instead of an iterator. */
  onBatch?: (batch: Batch) => void
  onReset?: (reset: Reset) => void
}

export interface PublishOptions {
  /** Makes repetitions harmless. There is one anyway; name it where a repetition may come from elsewhere. */
  idempotencyKey?: string
  /** Only if the channel's tail is there, else the error `tail_moved` with the tail as its `offset`. */
  ifMatch?: string
  /** Of a channel that isn't JSON. Strings are then text. */
  contentType?: string
  /** Ends the channel behind this. */
  close?: boolean
  /** Milliseconds after which trying is given up; 60 s. What was sent is never repeated later than 4.5 min after its first try. */
  timeout?: number
  /** Gives it up; it is not sent then, unless it was already, or tabs share the connection. */
  signal?: AbortSignal
}

/** The answer to a publish. */
export interface Published {
  /** After the last record of this publish, or of the batch that it went out in with others. */
  offset: string
  /** What the acknowledgement is worth: "memory" or "disk". */
  durability?: string
  /** Live readers of the channel on that node just then. */
  readers?: number
  /** It was there already, from an earlier try. */
  duplicate: boolean
}

export interface Status {
  /** "idle" while nothing is followed. */
  state: "idle" | "connecting" | "open" | "waiting" | "offline" | "closed"
  /** The transport in use. */
  transport?: Transport
  advice?: Advice
  bytesIn: number
  batches: number
  records: number
  reconnects: number
  lastError?: Error
}

/** Where a subscription begins. */
export interface Start {
  offset?: string
  tailRecords?: number
  since?: string
}

/** A frame of the server about a channel (PROTOCOL.md 7). `bytes` stands for `base64`, decoded. */
export interface Frame extends Partial<Reset> {
  type: string
  id?: number | string
  channel?: string
  offset?: string
  upToDate?: boolean
  closed?: boolean
  records?: unknown[]
  text?: string
  base64?: string
  bytes?: Uint8Array
  budget?: number
  transport?: Transport
  interval?: number
  delay?: number
  heartbeat?: number
  maxMessage?: number
  expires?: number
  code?: string
  message?: string
  hint?: string
  durability?: string
  readers?: number
  duplicate?: boolean
}

/** A follower, as a hub sees it. */
export interface Sink {
  readonly channel: string
  /** How late updates may be, in milliseconds. */
  readonly wanted: number
  /** Where it stands. */
  readonly at: Start
  batch(b: Batch): void
  /** The budget in force, in milliseconds. */
  inForce(ms: number): void
  /** Nothing follows; without an error the channel was closed. */
  end(error?: Error): void
}

/** What a client works with: a connection of its own, or one that tabs share. */
export interface Hub {
  readonly status: Status
  /** Gives the sink what follows the place where it stands. */
  enter(sink: Sink): void
  /** Gives it nothing more, for now or for ever. */
  leave(sink: Sink): void
  /** An item that is not sent yet when the signal comes need not be. */
  publish(item: Item, signal?: AbortSignal): Promise<Published>
  force(transport: Transport | undefined): void
  close(): void
}

/** A publish as it goes over the wire (PROTOCOL.md 6). */
export interface Item {
  channel: string
  /** As JSON texts with commas between them, until it is sent. */
  records?: string
  text?: string
  base64?: string
  /** Not sent: what base64 stands for. */
  bytes?: Uint8Array
  contentType?: string
  idempotencyKey?: string
  ifMatch?: string
  close?: boolean
  /** Not sent: when to give up, in milliseconds. */
  timeout?: number
}
