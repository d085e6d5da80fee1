// What is followed: for each channel one subscription of the connection, shared by all
// that follow it here.

import type { Cursor } from "./cursor.js"
import type { Sub } from "./lane.js"
import type { Batch, Frame, Sink, Start } from "./types.js"

export interface Subscription extends Sub {
  cursor: Cursor
  from: Start
  budget: number
  /** The budget that the server told. */
  inForce?: number
  readonly sinks: Set<Sink>
}

export const batchOf = (f: Frame): Batch => ({
  channel: f.channel!,
  records: f.records ?? [],
  text: f.text,
  bytes: f.base64 === undefined ? f.bytes : Uint8Array.from(atob(f.base64), (c) => c.charCodeAt(0)),
  offset: f.offset!,
  upToDate: !!f.upToDate,
  closed: !!f.closed,
  reset: f.reason && { reason: f.reason, start: f.start, tail: f.tail, missed: f.missed },
})

/** The batch of a frame without its records, for those who have them already. */
export const marksOf = (f: Frame): Batch => ({ ...batchOf(f), records: [], text: undefined, bytes: undefined })
