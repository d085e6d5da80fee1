// Which transport is best for what a page follows: the server's advice for each
// channel where there is one, else the same rule here.

import type { Advice, Transport } from "./types.js"

/** From this budget on, polling is enough. */
export const pollBudget = 2000

/** A connection that follows more channels than this is best a WebSocket. */
export const fewChannels = 3

export interface Wanted {
  readonly budget: number
  readonly advice?: Advice
}

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Milliseconds of a budget: a number, or text as "250ms", "2s", "1m30s". NaN is none. */
export function milliseconds(budget?: number | string | null): number {
  if (typeof budget === "number") return budget
  let sum = 0
  budget?.replace(/([\d.]+)(\D*)|\D+/g, (_, n, unit: keyof typeof units) => ((sum += n * units[unit]) as never))
  return sum
}

/** undefined: nothing is followed. */
export function needOf(wanted: Iterable<Wanted>, writes: boolean): Transport | undefined {
  let channels = 0
  let poll = true
  let ws = writes
  for (const w of wanted) {
    channels++
    poll &&= w.advice ? w.advice.transport === "poll" : w.budget >= pollBudget
    ws ||= w.advice?.transport === "ws"
  }
  if (!channels) return undefined
  if (poll && !writes) return "poll"
  return ws || channels > fewChannels ? "ws" : "sse"
}
