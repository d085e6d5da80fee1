// What does not get through to a server is remembered for a while, for the next pages of
// the tab too where the browser keeps such a thing.

import type { Blocked } from "./machine.js"

export function recall(base: string): Blocked {
  try {
    return { ...(JSON.parse(sessionStorage.getItem("twohop:" + base)!) as Blocked | null) }
  } catch {
    return {} // there is no such storage, or it is forbidden
  }
}

export function remember(base: string, blocked: Blocked): void {
  try {
    // What is blocked for ever is left out: that says nothing of the network.
    sessionStorage.setItem("twohop:" + base, JSON.stringify(blocked))
  } catch {
    // there is none, or it is full
  }
}
