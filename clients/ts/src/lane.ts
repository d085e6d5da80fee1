// A lane is one connection of one transport. The hub gives it a line: what it may use,
// and whom to tell.

import type { Env } from "./env.js"
import type { TwohopError } from "./errors.js"
import type { Failure } from "./machine.js"
import type { Cursor, Place } from "./cursor.js"
import type { Advice, Frame, Start } from "./types.js"

/** One followed channel, as lanes see it. */
export interface Sub {
  readonly channel: string
  readonly cursor: Cursor
  /** Where the next subscription begins. */
  readonly from: Start
  /** Milliseconds. */
  readonly budget: number
  advice?: Advice
}

export interface Line {
  readonly env: Env
  readonly subs: ReadonlyMap<string, Sub>
  /** Where this lane stands in each channel. */
  readonly places: Map<string, Place>
  /** Whether to be patient: no other transport would be taken. */
  readonly forced: boolean
  /** Something came: so many bytes. */
  fed(bytes: number): void
  /** How long silence may last from now on, and what it means. */
  expect(ms: number, failure: Failure): void
  made(): void
  frames(frames: Frame[]): void
  over(pace?: number): void
  broke(failure: Failure, error: TwohopError): void
}

export interface Lane {
  /** The lane serves from now on, or the channels changed; those in again must be subscribed anew at their cursors. */
  sync(again: ReadonlySet<string>): void
  /** Sends a frame, where that is possible. */
  send?(frame: object): void
  /** Bytes that a message may have, as soon as the lane is made. */
  readonly maxMessage?: number
  close(): void
}

export type Open = (line: Line) => Lane

/** Subscriptions as JSON has them. */
export const list = (subs: Sub[]): object[] => subs.map(({ channel, budget, from }) => ({ channel, budget, ...from }))

/** The answer to a publish: the ids of publishes are text, all others are numbers. */
export const ofPublish = (f: Frame): boolean => typeof f.id === "string"

/** The server does not follow the channel any more after this frame. */
export const ends = (f: Frame): boolean =>
  f.closed || f.reason === "deleted" || (f.type === "error" && f.code !== "already_subscribed")
