// The driver of the machine: lanes, timers and the events of the browser on one side,
// the subscriptions and whoever follows on the other.

import { batchOf, marksOf, type Subscription } from "./channels.js"
import { take } from "./cursor.js"
import type { Env } from "./env.js"
import { lost, mends, told } from "./errors.js"
import { beginning } from "./http.js"
import { join } from "./join.js"
import type { Lane, Line, Open } from "./lane.js"
import { initial, step, type Effect, type Event } from "./machine.js"
import { recall, remember } from "./memory.js"
import { needOf } from "./need.js"
import { publisher } from "./publish.js"
import type { Advice, Frame, Hub, Sink, Status, Transport } from "./types.js"

/** poll is the last resort, so it is always among them. */
export type Transports = { poll: Open } & Partial<Record<Transport, Open>>

/** A lane was of use if it brought something, or stood for so long. */
const usefulTime = 5000
/** Three publishes, each within this time of the last, make a connection one that writes, for as long after. */
const writePause = 5000
const writeMemory = 60_000

/** A line and the lane at its end. */
interface Running extends Line {
  lane?: Lane
  isMade?: boolean
  watch?: unknown
}

export const none = { bytesIn: 0, batches: 0, records: 0, reconnects: 0 }

/** A connection of one's own. changed is called when its status may be another, but for counts. */
export function connection(env: Env, transports: Transports, changed: () => void): Hub {
  const { clock } = env
  const lanes = new Map<number, Running>()
  const subs = new Map<string, Subscription>()
  /** Who reads on its own, and what looks whether it can share now, or need not read any more. */
  const joining = new Map<Sink, (leaves?: true) => void>()
  const alive = new AbortController()
  const counts = { ...none }
  let again = new Set<string>()
  let writes = 0
  let wrote = 0
  let advice: Advice | undefined
  let lastError: Error | undefined
  let timer: unknown
  let scheduled = false

  const blocked = recall(env.base)
  // A transport that isn't there never gets through, unless somebody insists.
  if (!env.WebSocket) blocked.ws = Infinity
  for (const t of ["ws", "sse"] as const) if (!transports[t]) blocked[t] = Infinity
  let state = { ...initial(env.forced, blocked), reachable: globalThis.navigator?.onLine !== false }

  const serving = (): Running | undefined => lanes.get(state.lane)
  const outbox = publisher(env, () => serving()?.lane)

  const status = (): Status => ({
    ...counts,
    state: state.phase === "trying" ? "open" : state.phase === "waiting" && !state.reachable ? "offline" : state.phase,
    transport: state.transport,
    advice,
    lastError,
  })

  function dispatch(e: Event): void {
    const [after, effects] = step(state, e, clock.now(), clock.random())
    state = after
    for (const [what, ...args] of effects) (perform[what] as (...a: unknown[]) => void)(...args)
    changed()
  }

  const perform: { [K in Effect[0]]: (...args: Extract<Effect, [K, ...unknown[]]> extends [K, ...infer A] ? A : never) => void } = {
    open,
    drop,
    adopt: () => serving()!.lane!.sync(again),
    remember: (blocked) => remember(env.base, blocked),
    end: (error) => endAll((lastError = error)),
    timer(ms) {
      clock.clear(timer)
      if (ms! < Infinity) timer = clock.set(() => dispatch({ type: "timer" }), ms!)
    },
  }

  function drop(n: number): void {
    const r = lanes.get(n)!
    lanes.delete(n)
    clock.clear(r.watch)
    r.lane!.close()
    outbox.lost(r.lane!)
  }

  function open(n: number, transport: Transport): void {
    const since = clock.now()
    /** Begins to wait for the next that comes. */
    let watch: () => void
    let useful = false
    const lasted = (): boolean => useful || clock.now() - since > usefulTime
    const line: Running = {
      env,
      subs,
      places: new Map(),
      forced: !!state.forced,
      fed(bytes) {
        counts.bytesIn += bytes
        watch()
      },
      expect(ms, failure) {
        watch = () => {
          clock.clear(line.watch)
          if (!lanes.has(n)) return // it has been dropped
          line.watch = clock.set(() => line.broke(failure, lost(`${ms / 1000} s of silence`)), ms)
        }
        watch()
      },
      made() {
        if (line.isMade) return
        line.isMade = true
        if (lanes.size < 2 && n > 1) counts.reconnects++
        dispatch({ type: "opened", lane: n })
        outbox.pump()
      },
      frames(frames) {
        for (const f of frames) if (state.lane === n) frame(f)
      },
      over: (pace) => dispatch({ type: "ended", lane: n, lasted: lasted(), pace }),
      broke(failure, error) {
        if (lanes.has(n)) lastError = error
        dispatch({ type: "failed", lane: n, lasted: lasted(), failure, error })
      },
    }
    lanes.set(n, line)
    line.lane = (transports[transport] ?? transports.poll)(line)

    function frame(f: Frame): void {
      if (f.type === "drain") return dispatch({ type: "drain", lane: n, delay: f.delay! })
      if (outbox.answered(f)) return
      if (f.type === "advice") {
        advice = f as Advice
        // Without a channel it is for all that are followed.
        for (const s of subs.values()) if ((f.channel ?? s.channel) === s.channel) s.advice = advice
        weigh()
        return changed()
      }
      const sub = subs.get(f.channel!)
      if (!sub) return
      if (f.type === "error" && mends(f.code)) return line.broke("lost", told(f))
      const { channel, sinks } = sub
      if (f.type === "subscribed") {
        sub.inForce = f.budget
        for (const sink of sinks) sink.inForce(f.budget!)
      }
      const t = take(sub.cursor, line.places.get(channel), f)
      line.places.set(channel, t.place)
      sub.cursor = t.cursor
      if (t.cursor.offset) sub.from = { offset: t.cursor.offset }
      if (t.deliver) {
        const batch = (t.deliver === "all" ? batchOf : marksOf)(f)
        useful = true
        counts.batches++
        counts.records += batch.records.length
        for (const sink of sinks) sink.batch(batch)
      }
      if (t.again) {
        again.add(channel)
        schedule()
      }
      if (t.end) end(sub, t.end === "error" ? told(f) : undefined)
      else for (const meet of joining.values()) meet()
    }
  }

  function weigh(): void {
    const need = needOf(subs.values(), writes > 2 && clock.now() - wrote < writeMemory)
    if (need !== state.best) dispatch({ type: "need", note: { best: need } })
  }

  /** Changes of the list come together: they are told once, at the end of the turn. */
  function schedule(): void {
    if (scheduled) return
    scheduled = true
    queueMicrotask(() => {
      scheduled = false
      const list = again
      again = new Set()
      weigh()
      serving()?.lane!.sync(list)
    })
  }

  /** The least budget of those who share counts. */
  function tune(sub: Subscription): void {
    const least = Math.min(...[...sub.sinks].map((s) => s.wanted))
    if (sub.budget < Infinity && sub.budget !== least) {
      sub.advice = undefined
      again.add(sub.channel)
    }
    sub.budget = least
    schedule()
  }

  function forget(sub: Subscription): void {
    if (subs.get(sub.channel) === sub) subs.delete(sub.channel)
    again.add(sub.channel) // for who follows it in the same turn: elsewhere, or with another budget
    schedule()
    for (const meet of joining.values()) meet()
  }

  function end(sub: Subscription, error?: Error): void {
    forget(sub)
    for (const s of sub.sinks) s.end(error)
  }

  function endAll(error?: Error): void {
    for (const sub of subs.values()) end(sub, error)
  }

  function enter(sink: Sink): void {
    const { channel } = sink
    let sub = subs.get(channel)
    const attach = (): void => {
      sub!.sinks.add(sink)
      if (sub!.inForce !== undefined) sink.inForce(sub!.inForce)
      tune(sub!)
    }
    if (!sub) {
      sub = {
        channel,
        from: sink.at,
        cursor: { phase: "live", offset: /_/.test(sink.at.offset!) ? sink.at.offset : undefined },
        budget: Infinity,
        sinks: new Set(),
      }
      subs.set(channel, sub)
      return attach()
    }
    const control = new AbortController()
    const meet = (leaves?: true): void => {
      const there = subs.get(channel) === sub
      const { offset, upToDate } = sub!.cursor
      // In a channel that does not exist yet, all stand at the beginning of any log who don't stand in one.
      if (!leaves && there && (!offset || offset !== (upToDate && !/_/.test(sink.at.offset!) ? beginning : sink.at.offset))) return
      control.abort()
      joining.delete(sink)
      if (leaves) return
      if (there) attach()
      else enter(sink) // there is nothing to share with any more
    }
    joining.set(sink, meet)
    meet()
    void join(env, sub, sink, meet, control.signal)
  }

  const on = (type: string, f: () => void): void => globalThis.addEventListener?.(type, f, { signal: alive.signal })
  for (const type of ["online", "offline"] as const) on(type, () => dispatch({ type, note: { reachable: type === "online" } }))
  on("visibilitychange", () => document.hidden || dispatch({ type: "wake" }))

  return {
    get status() {
      return status()
    },
    force: (forced) => dispatch({ type: "force", note: { forced, suspects: [] } }),

    enter,

    leave(sink) {
      joining.get(sink)?.(true)
      const sub = subs.get(sink.channel)
      if (sub?.sinks.delete(sink)) sub.sinks.size ? tune(sub) : forget(sub)
    },

    publish(item, signal) {
      const now = clock.now()
      writes = now - wrote < writePause ? writes + 1 : 1
      wrote = now
      schedule()
      return outbox.publish(item, signal)
    },

    close() {
      alive.abort()
      dispatch({ type: "close" })
      outbox.close()
      for (const sink of joining.keys()) sink.end()
      endAll() // and what those who read on their own follow then
    },
  }
}
