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
  | "waiting" // for the next try, or for the network
  | "closed"

export type Blocked = Partial<Record<Transport, number>>

export interface State {
  readonly phase: Name
  /** The lane that serves, or is to serve as soon as it is made; 0 is none. */
  readonly lane: number
  readonly transport?: Transport
  /** The lane that is tried beside it. */
  readonly next: number
  readonly nextTransport?: Transport
  /** The transport that the user insists on. */
  readonly forced?: Transport
  /** The transport that is best for what is followed; undefined when nothing is. */
  readonly best?: Transport
  /** Until when a transport is taken for not getting through. */
  readonly blocked: Blocked
  /** Transports that failed since a lane last opened: blocked, should a lower one open. */
  readonly suspects: readonly Transport[]
  /** Failures in a row. */
  readonly fails: number
  /** The server's pace for reconnects, in milliseconds. */
  readonly pace: number
  readonly reachable: boolean
  readonly lanes: number
}

/**
 * How a lane failed. "lost": the connection broke, or the server asks for patience. "refused": this transport does not
 * get through, another may. "denied": the server will not, whatever the transport.
 */
export type Failure = "lost" | "refused" | "denied"

/** note: what the event says, noted in every state; the cell says what follows. */
export type Event =
  | { type: "need"; note: { best?: Transport } }
  | { type: "force"; note: { forced?: Transport; suspects: [] } }
  | { type: "online" | "offline"; note: { reachable: boolean } }
  | { type: "opened"; lane: number }
  /** lasted: the lane was of use, so that the next try is not one more in a row. */
  | { type: "ended"; lane: number; lasted: boolean; pace?: number }
  | { type: "failed"; lane: number; lasted: boolean; failure: Failure; error: TwohopError }
  | { type: "drain"; lane: number; delay: number }
  | { type: "timer" }
  /** The page is looked at again. */
  | { type: "wake" }
  | { type: "close" }

export type Effect =
  | ["open", lane: number, transport: Transport]
  /** The lane serves from now on. */
  | ["adopt", lane: number]
  | ["drop", lane: number]
  /** One timer, in place of the one before; without a time, or with Infinity, there is none. */
  | ["timer", ms?: number]
  | ["remember", blocked: Blocked]
  /** All followers end with this error. */
  | ["end", error: TwohopError]

export type Out = readonly [State, Effect[]]
type Handler<E> = (s: State, e: E, now: number, random: number) => Out
type Of<T> = Event extends infer E ? (E extends { type: infer U } ? (T extends U ? E : never) : never) : never
export type Table = { [N in Name]: { [T in Event["type"]]: Handler<Of<T>> } }

/** How long a transport that did not get through is left alone. */
export const blockTime = 300_000
/** How long one is that failed for a reason which may have passed. */
export const shortBlock = 30_000
export const maxWait = 30_000

export const initial = (forced?: Transport, blocked: Blocked = {}): State => ({
  phase: "idle", lane: 0, next: 0, forced, blocked, suspects: [], fails: 0, pace: 1000, reachable: true, lanes: 0,
})

/** The longest wait before the next try; any part of it may be taken. */
export const bound = ({ pace, fails }: Pick<State, "pace" | "fails">): number => Math.min(maxWait, pace * 2 ** Math.max(0, fails - 1))

/** The next lower transport, of those that may not get through. */
const lower: Partial<Record<Transport, Transport>> = { ws: "sse", sse: "long-poll" }

/** The transport to use now. */
export function pick(s: State, now: number): Transport | undefined {
  let t = s.best && (s.forced ?? s.best)
  while (!s.forced && t && lower[t] && (s.blocked[t]! > now || s.suspects.includes(t))) t = lower[t]
  return t
}

const same: Handler<unknown> = (s) => [s, []]

const drops = (s: State): Effect[] => [s.lane, s.next].filter((n) => n).map((n) => ["drop", n])

/** Drops the lane that is tried beside the one that serves. */
const beside = (s: State): Effect[] => drops({ ...s, lane: 0 })

/** Leaves all lanes for a state without one. */
const leave = (s: State, name: Name, ms?: number): Out => [
  { ...s, phase: name, lane: 0, next: 0, transport: undefined, nextTransport: undefined },
  [...drops(s), ["timer", ms]],
]

/** Makes a lane, and nothing else serves. */
const begin: Handler<unknown> = (s, _, now) => {
  const transport = pick(s, now)
  if (!transport) return leave(s, "idle")
  const lane = s.lanes + 1
  return [
    { ...s, phase: "connecting", lane, lanes: lane, transport, next: 0, nextTransport: undefined },
    [...drops(s), ["timer"], ["open", lane, transport]],
  ]
}

/** Waits for the next try. To be offline is only believed for a while. */
const wait = (s: State, ms: number): Out => leave(s, "waiting", s.reachable ? ms : Math.max(ms, maxWait))

/** The lane serves; a timer brings a better one, once that may get through. */
const settle = (s: State, now: number, random: number, ...effects: Effect[]): Out => {
  const until = s.transport === (s.forced ?? s.best) ? Infinity : Math.min(...Object.values(s.blocked).filter((t) => t > now))
  return [{ ...s, phase: "open", next: 0, nextTransport: undefined }, [...effects, ["timer", until - now + random * 1000]]]
}

/** Makes a lane beside the one that serves. */
const attempt = (s: State, transport: Transport): Out => {
  const next = s.lanes + 1
  return [
    { ...s, phase: "trying", next, lanes: next, nextTransport: transport },
    [...beside(s), ["timer"], ["open", next, transport]],
  ]
}

/** The transport to use while one serves: what is best and gets through is not given up for what was said of it before. */
const better = (s: State, now: number): Transport | undefined =>
  s.transport === (s.forced ?? s.best) ? s.best && s.transport : pick(s, now)

/** Something has changed while a lane serves: is it still the right one? */
const choose: Handler<unknown> = (s, _, now, random) => {
  const t = better(s, now)
  if (!t) return leave(s, "idle")
  if (t === s.nextTransport) return [s, []]
  return t === s.transport ? settle(s, now, random, ...beside(s)) : attempt(s, t)
}

/** The same while the first lane is being made. */
const rechoose: Handler<unknown> = (s, e, now, random) => (pick(s, now) === s.transport ? [s, []] : begin(s, e, now, random))

/** The first lane is made. What failed before it, and is higher, is blocked. */
const opened: Handler<unknown> = (s, _, now, random) => {
  const blocked = { ...s.blocked }
  for (const t of s.suspects) blocked[t] = now + blockTime
  const effects: Effect[] = s.suspects.length ? [["remember", blocked]] : []
  return settle({ ...s, blocked, suspects: [] }, now, random, ["adopt", s.lane], ...effects)
}

/** The lane beside is made: it takes over. */
const handOver: Handler<{ lane: number }> = (s, e, now, random) =>
  e.lane === s.next
    ? settle({ ...s, fails: 0, lane: s.next, transport: s.nextTransport }, now, random, ["drop", s.lane], ["adopt", s.next])
    : [s, []]

const failure = (s: State, lasted?: boolean): State => ({ ...s, suspects: [], fails: lasted ? 1 : s.fails + 1 })

const ended: Handler<{ lasted: boolean; pace?: number }> = (s, e, _now, random) => {
  const t = { ...failure(s, e.lasted), pace: e.pace ?? s.pace }
  return wait(t, random * bound(t))
}

const failed: Handler<{ lasted: boolean; failure: Failure; error: TwohopError }> = (s, e, now, random) => {
  const t = failure(s, e.lasted)
  if (e.failure === "refused" && !s.forced && lower[s.transport!]) {
    return begin({ ...t, suspects: [...s.suspects, s.transport!] }, e, now, random)
  }
  if (e.failure === "denied" || (e.failure === "refused" && e.error.retry === false)) {
    const [out, effects] = leave({ ...t, best: undefined, fails: 0 }, "idle")
    return [out, [...effects, ["end", e.error]]]
  }
  return wait(t, (e.error.after ?? 0) + random * bound(t))
}

/** One of two lanes is gone. */
const lostOne: Handler<{ lane: number; lasted?: boolean; failure?: Failure }> = (s, e, now, random) => {
  const gone: Effect = ["drop", e.lane]
  if (e.lane === s.lane) {
    // The other one, which is being made, is the only one now.
    const t = failure(s, e.lasted)
    return [{ ...t, phase: "connecting", lane: s.next, transport: s.nextTransport, next: 0, nextTransport: undefined }, [gone]]
  }
  const t = failure(s)
  if (s.nextTransport === s.transport) return settle(t, now, random, gone)
  const long = e.failure === "refused" && !s.forced
  const blocked = { ...s.blocked, [s.nextTransport!]: now + (long ? blockTime : shortBlock) }
  return settle({ ...t, blocked }, now, random, gone, ["remember", blocked])
}

const drain: Handler<{ delay: number }> = (s, e) => wait({ ...s, fails: 0, suspects: [] }, e.delay)

/** The network changed: a lane that stands may be dead without knowing. */
const renew: Handler<unknown> = (s, _, now) => attempt(s, better(s, now)!)

const close: Handler<unknown> = (s) => leave(s, "closed")

/** What most states make of these events; the rest they name. */
const quiet = {
  need: same, force: same, opened: same, ended: same, failed: same, drain: same, timer: same, online: same, offline: same, wake: same, close,
}

export const table: Table = {
  idle: { ...quiet, need: begin },
  connecting: { ...quiet, need: rechoose, force: rechoose, opened, ended, failed, drain },
  open: { ...quiet, need: choose, force: choose, ended, failed, drain, timer: choose, online: renew },
  trying: {
    ...quiet, need: choose, force: choose, opened: handOver, ended: lostOne, failed: lostOne,
    drain: (s, e, now, random) => (e.lane === s.lane ? drain : lostOne)(s, e, now, random),
  },
  waiting: { ...quiet, force: begin, timer: begin, online: begin, wake: begin },
  closed: quiet,
}

export function step(s: State, e: Event, now: number, random: number): Out {
  const { lane, note } = e as { lane?: number; note?: Partial<State> }
  if (lane && lane !== s.lane && lane !== s.next) return [s, []]
  return (table[s.phase][e.type] as Handler<Event>)({ ...s, ...note }, e, now, random)
}
