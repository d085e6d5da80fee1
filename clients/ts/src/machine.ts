// When to connect, by which transport, and when to change it: a pure state machine.
// step() takes a state, an event, the time and a random number and gives the next
// state and what is to be done. Each pair of state and event has its cell in the
// table, or the table does not compile. Connections are called lanes and have
// numbers; what an old lane still says changes nothing.

import type { TwohopError } from "./errors.js"
import type { Transport } from "./types.js"

export type Name =
  | "idle" // nothing is followed
  | "connecting" // a lane is being made, none serves
  | "open" // a lane serves
  | "trying" // a lane serves while a better one is being made
  | "waiting" // for the next try
  | "offline" // the same, without a network
  | "closed"

export type Blocked = Partial<Record<Transport, number>>

export interface State {
  readonly name: Name
  /** The lane that serves, or is to serve as soon as it is made; 0 is none. */
  readonly lane: number
  readonly transport?: Transport
  /** The lane that is tried beside it. */
  readonly next: number
  readonly nextTransport?: Transport
  /** The transport that the user insists on. */
  readonly forced?: Transport
  /** The transport that is best for what is followed; undefined when nothing is. */
  readonly need?: Transport
  /** Until when a transport is taken for not getting through. */
  readonly blocked: Blocked
  /** Transports that failed since a lane last opened: blocked, should a lower one open. */
  readonly suspects: readonly Transport[]
  /** Failures in a row. */
  readonly fails: number
  /** The server's pace for reconnects, in milliseconds. */
  readonly pace: number
  readonly online: boolean
  readonly lanes: number
}

/**
 * How a lane failed. "lost": the connection broke, or the server asks for patience. "refused": this transport does not
 * get through, another may. "denied": the server will not, whatever the transport.
 */
export type Failure = "lost" | "refused" | "denied"

export type Event =
  | { type: "need"; need?: Transport }
  | { type: "force"; transport?: Transport }
  | { type: "opened"; lane: number }
  /** lasted: the lane was of use, so that the next try is not one more in a row. */
  | { type: "ended"; lane: number; lasted: boolean; pace?: number }
  | { type: "failed"; lane: number; lasted: boolean; failure: Failure; error: TwohopError }
  | { type: "drain"; lane: number; delay: number }
  | { type: "timer" }
  | { type: "online" }
  | { type: "offline" }
  /** The page is looked at again; silent: the lane should have said something by now. */
  | { type: "wake"; silent: boolean }
  | { type: "close" }

export type Effect =
  | { do: "open"; lane: number; transport: Transport }
  /** The lane serves from now on. */
  | { do: "adopt"; lane: number }
  | { do: "drop"; lane: number }
  /** One timer, in place of the one before; undefined stops it. */
  | { do: "timer"; ms?: number }
  | { do: "remember"; blocked: Blocked }
  /** All followers end with this error. */
  | { do: "end"; error: TwohopError }

export type Out = readonly [State, Effect[]]
type Handler<E> = (s: State, e: E, now: number, random: number) => Out
export type Table = { [N in Name]: { [T in Event["type"]]: Handler<Extract<Event, { type: T }>> } }

/** How long a transport that did not get through is left alone. */
export const blockTime = 300_000
/** How long one is that failed for a reason which may have passed. */
export const shortBlock = 30_000
export const maxWait = 30_000

export const initial = (forced?: Transport, blocked: Blocked = {}): State => ({
  name: "idle", lane: 0, next: 0, forced, blocked, suspects: [], fails: 0, pace: 1000, online: true, lanes: 0,
})

/** The longest wait before the next try; any part of it may be taken. */
export const bound = (s: State): number => Math.min(maxWait, s.pace * 2 ** Math.max(0, s.fails - 1))

/** The next lower transport, of those that may not get through. */
const lower: Partial<Record<Transport, Transport>> = { ws: "sse", sse: "long-poll" }

/** The transport to use now. */
export function pick(s: State, now: number): Transport | undefined {
  let t = s.need && (s.forced ?? s.need)
  while (!s.forced && t && lower[t] && ((s.blocked[t] ?? 0) > now || s.suspects.includes(t))) t = lower[t]
  return t
}

const same: Handler<unknown> = (s) => [s, []]

const drops = (s: State): Effect[] => [s.lane, s.next].filter((n) => n > 0).map((lane) => ({ do: "drop", lane }))

/** Leaves all lanes for a state without one. */
const leave = (s: State, name: Name, ms?: number): Out => [
  { ...s, name, lane: 0, next: 0, transport: undefined, nextTransport: undefined },
  [...drops(s), { do: "timer", ms }],
]

/** Makes a lane, and nothing else serves. */
const begin: Handler<unknown> = (s, _, now) => {
  const transport = pick(s, now)
  if (!transport) return leave(s, "idle")
  const lane = s.lanes + 1
  return [
    { ...s, name: "connecting", lane, lanes: lane, transport, next: 0, nextTransport: undefined },
    [...drops(s), { do: "timer" }, { do: "open", lane, transport }],
  ]
}

/** Waits for the next try. Being offline is only believed for a while. */
const wait = (s: State, ms: number): Out => (s.online ? leave(s, "waiting", ms) : leave(s, "offline", Math.max(ms, maxWait)))

/** The lane serves; a timer brings a better one, once that may get through. */
const settle = (s: State, now: number, random: number, effects: Effect[] = []): Out => {
  const open: State = { ...s, name: "open", next: 0, nextTransport: undefined }
  let ms: number | undefined
  if (s.transport !== (s.forced ?? s.need)) {
    const times = Object.values(s.blocked).filter((t) => t > now && t < Infinity)
    ms = s.forced ? random * bound(s) : times.length ? Math.min(...times) - now + random * 1000 : undefined
  }
  return [open, [...effects, { do: "timer", ms }]]
}

/** Makes a lane beside the one that serves. */
const attempt = (s: State, transport: Transport): Out => {
  const next = s.lanes + 1
  return [
    { ...s, name: "trying", next, lanes: next, nextTransport: transport },
    [...(s.next ? [{ do: "drop", lane: s.next } as const] : []), { do: "timer" }, { do: "open", lane: next, transport }],
  ]
}

/** What is wanted has changed while a lane serves. */
const choose: Handler<unknown> = (s, _, now, random) => {
  const t = pick(s, now)
  if (!t) return leave(s, "idle")
  if (t === s.transport) return settle(s, now, random, s.next ? [{ do: "drop", lane: s.next }] : [])
  return t === s.nextTransport ? [s, []] : attempt(s, t)
}

/** What is wanted has changed while the first lane is being made. */
const rechoose: Handler<unknown> = (s, e, now, random) =>
  pick(s, now) === s.transport ? [s, []] : begin(s, e, now, random)

const withNeed =
  (then: Handler<unknown>): Handler<{ need?: Transport }> =>
  (s, e, now, random) =>
    then({ ...s, need: e.need }, e, now, random)

const withForce =
  (then: Handler<unknown>): Handler<{ transport?: Transport }> =>
  (s, e, now, random) =>
    then({ ...s, forced: e.transport, suspects: [] }, e, now, random)

const setOnline =
  (online: boolean, then: Handler<unknown> = same): Handler<unknown> =>
  (s, e, now, random) =>
    then({ ...s, online }, e, now, random)

/** The first lane is made. What failed before it, and is higher, is blocked. */
const opened: Handler<unknown> = (s, _, now, random) => {
  const effects: Effect[] = [{ do: "adopt", lane: s.lane }]
  const blocked = { ...s.blocked }
  for (const t of s.suspects) blocked[t] = now + blockTime
  if (s.suspects.length) effects.push({ do: "remember", blocked })
  return settle({ ...s, blocked, suspects: [] }, now, random, effects)
}

/** The lane beside is made: it takes over. */
const handOver: Handler<{ lane: number }> = (s, e, now, random) =>
  e.lane !== s.next
    ? [s, []]
    : settle({ ...s, lane: s.next, transport: s.nextTransport, fails: 0 }, now, random, [
        { do: "drop", lane: s.lane },
        { do: "adopt", lane: s.next },
      ])

const failure = (s: State, lasted: boolean): State => ({ ...s, fails: lasted ? 1 : s.fails + 1 })

const ended: Handler<{ lasted: boolean; pace?: number }> = (s, e, _now, random) => {
  const pace = e.pace ?? s.pace
  const t = e.lasted ? { ...s, pace, fails: 0 } : { ...failure(s, false), pace }
  return wait(t, random * bound(t))
}

const failed: Handler<{ lasted: boolean; failure: Failure; error: TwohopError }> = (s, e, now, random) => {
  const t = failure(s, e.lasted)
  if (e.failure === "refused" && !s.forced && lower[s.transport!]) {
    return begin({ ...t, suspects: [...s.suspects, s.transport!] }, e, now, random)
  }
  if (e.failure === "denied" || (e.failure === "refused" && e.error.retry === false)) {
    const [out, effects] = leave({ ...t, need: undefined, suspects: [], fails: 0 }, "idle")
    return [out, [...effects, { do: "end", error: e.error }]]
  }
  return wait({ ...t, suspects: [] }, (e.error.after ?? 0) + random * bound(t))
}

/** The lane that serves, or the one beside it, is gone while both were there. */
const lostOne = (s: State, lane: number, lasted: boolean, refused: boolean, now: number, random: number): Out => {
  if (lane === s.lane) {
    const only: State = { ...s, name: "connecting", lane: s.next, transport: s.nextTransport, next: 0, nextTransport: undefined }
    return [failure(only, lasted), [{ do: "drop", lane }]]
  }
  const t = s.nextTransport!
  const blocked = s.forced || t === s.transport ? s.blocked : { ...s.blocked, [t]: now + (refused ? blockTime : shortBlock) }
  const effects: Effect[] = [{ do: "drop", lane }]
  if (refused && blocked !== s.blocked) effects.push({ do: "remember", blocked })
  return settle({ ...failure(s, false), blocked }, now, random, effects)
}

const drain: Handler<{ delay: number }> = (s, e) => wait({ ...s, fails: 0, suspects: [] }, e.delay)

const renew: Handler<unknown> = (s) => attempt(s, s.transport!)

const climb: Handler<unknown> = (s, e, now, random) => choose(s, e, now, random)

const close: Handler<unknown> = (s) => leave(s, "closed")

export const table: Table = {
  idle: {
    need: withNeed(begin), force: withForce(same), opened: same, ended: same, failed: same, drain: same, timer: same,
    online: setOnline(true), offline: setOnline(false), wake: same, close,
  },
  connecting: {
    need: withNeed(rechoose), force: withForce(rechoose), opened, ended, failed, drain, timer: same,
    online: setOnline(true), offline: setOnline(false), wake: same, close,
  },
  open: {
    need: withNeed(choose), force: withForce(choose), opened: same, ended, failed, drain, timer: climb,
    online: setOnline(true, renew), offline: setOnline(false), wake: (s, e) => (e.silent ? attempt(s, s.transport!) : [s, []]), close,
  },
  trying: {
    need: withNeed(choose), force: withForce(choose), opened: handOver,
    ended: (s, e, now, random) => lostOne(s, e.lane, e.lasted, false, now, random),
    failed: (s, e, now, random) => lostOne(s, e.lane, e.lasted, e.failure !== "lost", now, random),
    drain: (s, e, now, random) => (e.lane === s.lane ? drain(s, e, now, random) : lostOne(s, e.lane, false, false, now, random)),
    timer: same, online: setOnline(true), offline: setOnline(false), wake: same, close,
  },
  waiting: {
    need: withNeed((s) => (s.need ? [s, []] : leave(s, "idle"))), force: withForce(begin),
    opened: same, ended: same, failed: same, drain: same, timer: begin,
    online: setOnline(true, begin), offline: setOnline(false, (s) => [{ ...s, name: "offline" }, []]), wake: begin, close,
  },
  offline: {
    need: withNeed((s) => (s.need ? [s, []] : leave(s, "idle"))), force: withForce(same),
    opened: same, ended: same, failed: same, drain: same, timer: begin,
    online: setOnline(true, begin), offline: same, wake: begin, close,
  },
  closed: {
    need: same, force: same, opened: same, ended: same, failed: same, drain: same, timer: same,
    online: same, offline: same, wake: same, close: same,
  },
}

export function step(s: State, e: Event, now: number, random: number): Out {
  if ("lane" in e && e.lane !== s.lane && e.lane !== s.next) return [s, []]
  return (table[s.name][e.type] as Handler<Event>)(s, e, now, random)
}
