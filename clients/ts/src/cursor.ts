// A cursor is where a follower stands in a channel. take() is the whole rule of what
// a frame does to it, so that each record comes once and in order, whichever lane
// brings it: a frame counts only if it begins where the cursor stands. What ends at
// or before that place was delivered already; what reaches beyond it from somewhere
// else would leave a hole or come twice, so it is not taken and the lane is told to
// begin anew at the cursor. Offsets compare as text.

import type { Frame } from "./types.js"

/** live: it stands at its offset, or does not stand anywhere yet. ended: nothing more is taken. */
export interface Cursor {
  readonly phase: "live" | "ended"
  readonly offset?: string
  readonly upToDate?: boolean
}

/** Where a lane stands in the channel: nowhere yet, or where the frame begins. */
export type Place = { readonly at: string | undefined } | undefined

export interface Taken {
  cursor: Cursor
  place?: Place
  /** Give it to the followers: all of it, or only its marks (upToDate, closed) because its records were delivered. */
  deliver?: "all" | "marks"
  /** The lane must begin anew, at the cursor. */
  again?: true
  /** No frame of the channel follows: why. */
  end?: "closed" | "deleted" | "error"
}

type Kind = "subscribed" | "data" | "reset" | "unsubscribed" | "error"
type Rule = (c: Cursor, place: Place, f: Frame) => Taken

const ignore: Rule = (cursor, place) => ({ cursor, place })
const gone: Rule = (cursor) => ({ cursor })

const subscribed: Rule = (c, _, f) => {
  const place = { at: f.offset }
  const news = f.upToDate && !c.upToDate
  // Who stood nowhere stands there now, and who followed a channel that did not exist,
  // from the beginning of any log: it has one of its own.
  if (!/[1-9]/.test(c.offset!) || (news && f.offset === c.offset)) {
    return { cursor: { phase: "live", offset: f.offset, upToDate: f.upToDate }, place, deliver: news ? "marks" : undefined }
  }
  return { cursor: c, place }
}

const data: Rule = (c, place, f) => {
  if (!place) return { cursor: c, place }
  const to = place.at! > f.offset! ? place : { at: f.offset }
  const end = f.closed ? "closed" : undefined
  const next: Cursor = { phase: end ? "ended" : "live", offset: f.offset, upToDate: f.upToDate }
  if (f.offset! <= c.offset!) {
    const marks = f.offset === c.offset && (end || (f.upToDate && !c.upToDate))
    return marks ? { cursor: next, place: to, deliver: "marks", end } : { cursor: c, place: to }
  }
  if (place.at !== c.offset) return { cursor: c, again: true }
  return { cursor: next, place: to, deliver: "all", end }
}

const reset: Rule = (c, place, f) => {
  if (!place) return { cursor: c, place }
  if (place.at !== c.offset) return { cursor: c, again: true }
  if (f.reason === "deleted") return { cursor: { phase: "ended", offset: f.offset }, deliver: "all", end: "deleted" }
  return { cursor: { phase: "live", offset: f.offset }, place: { at: f.offset }, deliver: "all" }
}

const error: Rule = (c, place, f) => {
  if (f.code === "not_subscribed") return { cursor: c, place }
  if (f.code === "already_subscribed") return { cursor: c, again: true }
  return { cursor: { phase: "ended", offset: c.offset }, end: "error" }
}

export const rules: Record<Cursor["phase"], Record<Kind, Rule>> = {
  live: { subscribed, data, reset, unsubscribed: gone, error },
  ended: { subscribed: ignore, data: ignore, reset: ignore, unsubscribed: gone, error: ignore },
}

export const take = (c: Cursor, place: Place, f: Frame): Taken => (rules[c.phase][f.type as Kind] ?? ignore)(c, place, f)
