// What does not get through to a server is remembered for a while: in this script, and
// for the other pages of the tab where the browser keeps such a thing.

import type { Blocked } from "./machine.js"

const here = new Map<string, Blocked>()

/** The memory, of its own for each caller. */
export function recall(base: string): Blocked {
  try {
    return { ...(here.get(base) ?? (JSON.parse(sessionStorage.getItem("twohop:" + base)!) as Blocked)) }
  } catch {
    return {} // there is no such storage, or it is forbidden
  }
}

export function remember(base: string, blocked: Blocked): void {
  here.set(base, blocked)
  try {
    sessionStorage.setItem("twohop:" + base, JSON.stringify(blocked))
  } catch {
    // there is none, or it is full
  }
}
