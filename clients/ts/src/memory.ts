// What does not get through to a server is remembered for a while: in this script, and
// for the other pages of the tab where the browser keeps such a thing.

import type { Blocked } from "./machine.js"

const here = new Map<string, Blocked>()

const storage = (): Storage | undefined => {
  try {
    return globalThis.sessionStorage
  } catch {
    return undefined // forbidden
  }
}

export function recall(base: string): Blocked {
  try {
    return here.get(base) ?? (JSON.parse(storage()!.getItem("twohop:" + base)!) as Blocked | null) ?? {}
  } catch {
    return {}
  }
}

export function remember(base: string, blocked: Blocked): void {
  here.set(base, blocked)
  try {
    storage()?.setItem("twohop:" + base, JSON.stringify(blocked))
  } catch {
    // full
  }
}
