// What is followed: for each channel one subscription of the connection, shared by all
// that follow it here.

import { type Cursor, take } from "./cursor.js"
import { told } from "./errors.js"
import type { Sub } from "./lane.js"
import type { Batch, Frame, Sink, Start } from "./types.js"
import type { Place } from "./cursor.js"

export interface Subscription extends Sub {
  cursor: Cursor
  from: Start
  budget: number
  /** The budget that the server told. */
  inForce?: number
  readonly start: Start
  readonly sinks: Set<Sink>
  /** Of each that reads on its own: it looks whether it can share now. */
  readonly joiners: Set<() => void>
}

const isOffset = (o?: string): boolean => /_/.test(o ?? "")

export const subscription = (channel: string, start: Start): Subscription => ({
  channel,
  start,
  from: start,
  cursor: isOffset(start.offset) ? { name: "live", offset: start.offset } : { name: "new" },
  budget: Infinity,
  sinks: new Set(),
  joiners: new Set(),
})

const decode = (base64: string): Uint8Array => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))

const marks = { records: [], text: undefined, bytes: undefined, base64: undefined }

export const batchOf = (f: Frame): Batch => ({
  channel: f.channel!,
  records: f.records ?? [],
  text: f.text,
  bytes: f.base64 === undefined ? f.bytes : decode(f.base64),
  offset: f.offset!,
  upToDate: !!(f.upToDate || f.waiting),
  closed: !!f.closed,
  reset: f.type === "reset" ? { reason: f.reason!, start: f.start, tail: f.tail, missed: f.missed } : undefined,
})

/** What became of a frame. */
export interface Outcome {
  batch?: Batch
  again?: boolean
  end?: { error?: Error }
}

/** Gives the frame of a lane to the followers of its channel, as the cursor's rule says. */
export function deliver(s: Subscription, places: Map<string, Place>, f: Frame): Outcome {
  if (f.type === "subscribed") {
    s.inForce = f.budget
    for (const sink of s.sinks) sink.inForce(f.budget!)
  }
  const t = take(s.cursor, places.get(s.channel), f)
  s.cursor = t.cursor
  if (t.cursor.offset) s.from = { offset: t.cursor.offset }
  if (t.place) places.set(s.channel, t.place)
  else places.delete(s.channel)
  const batch = t.deliver && batchOf(t.deliver === "all" ? f : { ...f, ...marks })
  if (batch) {
    for (const sink of [...s.sinks]) sink.batch(batch)
    for (const meet of [...s.joiners]) meet()
  }
  return { batch, again: t.again, end: t.end && { error: t.end === "error" ? told(f) : undefined } }
}
