// What does not get through to a server is remembered for a while: in this script, and
// for the other pages of the tab where the browser keeps such a thing.

import type { Blocked } from "./machine.js"

const here = new Map<string, string>()

export function recall(base: string): Blocked {
  try {
    return (JSON.parse(here.get(base) ?? sessionStorage.getItem("twohop:" + base)!) as Blocked | null) ?? {}
  } catch {
    return {} // there is no such storage, or it is forbidden
  }
}

export function remember(base: string, blocked: Blocked): void {
  const text = JSON.stringify(blocked) // without what is blocked for ever, which says nothing of the network
  here.set(base, text)
  try {
    sessionStorage.setItem("twohop:" + base, text)
  } catch {
    // there is none, or it is full
  }
}
