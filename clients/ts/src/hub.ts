// The driver of the machine: lanes, timers and the events of the browser on one side,
// the subscriptions and whoever follows on the other.

import { budgetOf, deliver, Subscription } from "./channels.js"
import type { Env } from "./env.js"
import { lost, mends, told, TwohopError } from "./errors.js"
import { join } from "./join.js"
import type { Lane, Line, Open } from "./lane.js"
import { initial, step, type Effect, type Event, type State } from "./machine.js"
import { recall, remember } from "./memory.js"
import { needOf } from "./need.js"
import { Publisher } from "./publish.js"
import type { Advice, Frame, Handle, Hub, Item, Published, Sink, Start, Status, Transport } from "./types.js"

export type Transports = Partial<Record<Transport, Open>>

/** A lane was of use if it brought something, or stood for so long. */
const usefulTime = 5000
/** On a page that is looked at again, a lane that was silent for longer is replaced. */
const suspicious = 18_000
/** Publishes within this time make a connection one that writes, for as long after. */
const writeWindow = 10_000
const writeMemory = 60_000

interface Running {
  lane: Lane
  transport: Transport
  opened: boolean
  since: number
  useful: boolean
  last: number
  timer?: unknown
}

export class Connection implements Hub {
  readonly counts = { bytesIn: 0, batches: 0, records: 0, reconnects: -1 }
  #state: State
  #lanes = new Map<number, Running>()
  #subs = new Map<string, Subscription>()
  #again = new Set<string>()
  #advice?: Advice
  #lastError?: Error
  #timer?: unknown
  #events: Event[] = []
  #stepping = false
  #scheduled = false
  #told = ""
  #writes: number[] = []
  #publisher: Publisher
  #undo: (() => void)[] = []

  constructor(
    private readonly env: Env,
    private readonly transports: Transports,
    private readonly changed: (s: Status) => void,
  ) {
    const blocked = recall(env.base)
    for (const t of ["ws", "sse", "long-poll"] as const) if (!transports[t] || (t === "ws" && !env.WebSocket)) blocked[t] = Infinity
    this.#state = { ...initial(env.forced, blocked), online: globalThis.navigator?.onLine !== false }
    this.#publisher = new Publisher(env, () => {
      const r = this.#lanes.get(this.#state.lane)
      return r?.opened && r.lane.send ? r.lane : undefined
    })
    const on = (target: EventTarget | undefined, type: string, f: () => void): void => {
      target?.addEventListener?.(type, f)
      this.#undo.push(() => target?.removeEventListener?.(type, f))
    }
    on(globalThis as unknown as EventTarget, "online", () => this.#dispatch({ type: "online" }))
    on(globalThis as unknown as EventTarget, "offline", () => this.#dispatch({ type: "offline" }))
    on(globalThis.document, "visibilitychange", () => document.hidden || this.wake())
  }

  get status(): Status {
    const s = this.#state
    return {
      ...this.counts,
      reconnects: Math.max(0, this.counts.reconnects),
      state: s.name === "trying" ? "open" : s.name,
      transport: s.transport,
      advice: this.#advice ?? [...this.#subs.values()].find((sub) => sub.advice)?.advice,
      lastError: this.#lastError,
    }
  }

  wake(): void {
    const r = this.#lanes.get(this.#state.lane)
    const silent = !!r && /ws|sse/.test(r.transport) && this.env.clock.now() - r.last > suspicious
    this.#dispatch({ type: "wake", silent })
    this.#publisher.pump()
  }

  force(transport: Transport | undefined): void {
    this.#dispatch({ type: "force", transport })
  }

  follow(channel: string, start: Start, budget: string | undefined, sink: Sink): Handle {
    const ms = budgetOf(budget)
    let at = start
    let control: AbortController | undefined
    const mine: Sink = {
      batch(b) {
        at = { offset: b.offset }
        sink.batch(b)
      },
      budget: (n) => sink.budget(n),
      end: (e) => sink.end(e),
    }
    const attach = (sub: Subscription): void => {
      const known = sub.sinks.size > 0
      if (sub.attach(mine, ms) && known) this.#again.add(channel)
      this.#schedule()
    }
    const enter = (): void => {
      const sub = this.#subs.get(channel)
      if (!sub) {
        const fresh = new Subscription(channel, at)
        this.#subs.set(channel, fresh)
        return attach(fresh)
      }
      const c = sub.cursor
      const now = !at.tailRecords && !at.since && (at.offset ?? "now") === "now"
      if (c.offset === undefined ? JSON.stringify(sub.start) === JSON.stringify(at) : at.offset === c.offset) return attach(sub)
      if (now && c.upToDate) {
        mine.batch({ channel, records: [], offset: c.offset!, upToDate: true, closed: false })
        return attach(sub)
      }
      const mineNow = (control = new AbortController())
      void join(this.env, sub, at, mine, () => attach(sub), mineNow.signal).then((alone) => alone && !mineNow.signal.aborted && enter())
    }
    const leave = (): void => {
      control?.abort()
      const sub = this.#subs.get(channel)
      if (!sub?.sinks.delete(mine) || sub.sinks.size) return
      this.#forget(sub)
    }
    if (this.#state.name !== "closed") enter()
    return { close: leave, pause: (on) => (on ? leave() : enter()) }
  }

  publish(item: Item): Promise<Published> {
    if (this.#state.name === "closed") return Promise.reject(closedError())
    const now = this.env.clock.now()
    this.#writes = [now, ...this.#writes].slice(0, 3)
    if (this.#writing(now)) this.#schedule()
    return this.#publisher.publish(item)
  }

  close(): void {
    for (const f of this.#undo) f()
    this.#dispatch({ type: "close" })
    this.#publisher.close(closedError())
    for (const sub of [...this.#subs.values()]) this.#end(sub)
  }

  /** Three publishes in a row make a connection one that writes. */
  #writing(now: number): boolean {
    const [last = -Infinity, , third = -Infinity] = this.#writes
    return now - last < writeMemory && last - third < writeWindow
  }

  #forget(sub: Subscription): void {
    this.#subs.delete(sub.channel)
    this.#schedule()
    for (const tell of sub.joiners.values()) tell()
  }

  #end(sub: Subscription, error?: Error): void {
    const sinks = [...sub.sinks.keys()]
    sub.sinks.clear()
    this.#forget(sub)
    for (const s of sinks) s.end(error)
  }

  /** Changes of the list come together: they are told once, at the end of the turn. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      if (this.#state.name === "closed") return
      const again = this.#again
      this.#again = new Set()
      this.#weigh()
      this.#lanes.get(this.#state.lane)?.lane.sync(again)
    })
  }

  #weigh(): void {
    const need = needOf(this.#subs.values(), this.#writing(this.env.clock.now()), this.#advice)
    if (need !== this.#state.need) this.#dispatch({ type: "need", need })
  }

  #dispatch(e: Event): void {
    this.#events.push(e)
    if (this.#stepping) return
    this.#stepping = true
    for (let next = this.#events.shift(); next; next = this.#events.shift()) {
      const [state, effects] = step(this.#state, next, this.env.clock.now(), this.env.clock.random())
      this.#state = state
      for (const effect of effects) this.#do(effect)
    }
    this.#stepping = false
    this.#tell()
  }

  #tell(): void {
    const s = this.status
    const now = [s.state, s.transport, s.advice?.transport, s.advice?.interval, s.lastError?.message].join()
    if (now === this.#told) return
    this.#told = now
    this.changed(s)
  }

  #do(e: Effect): void {
    const { clock } = this.env
    switch (e.do) {
      case "open":
        return this.#open(e.lane, e.transport)
      case "adopt":
        return this.#lanes.get(e.lane)?.lane.adopt?.()
      case "drop": {
        const r = this.#lanes.get(e.lane)
        this.#lanes.delete(e.lane)
        clock.clear(r?.timer)
        r?.lane.close()
        if (r?.lane.send) this.#publisher.lost()
        return
      }
      case "timer":
        clock.clear(this.#timer)
        this.#timer = e.ms === undefined ? undefined : clock.set(() => this.#dispatch({ type: "timer" }), e.ms)
        return
      case "remember":
        return remember(this.env.base, e.blocked)
      case "end":
        this.#lastError = e.error
        for (const sub of [...this.#subs.values()]) this.#end(sub, e.error)
    }
  }

  #open(n: number, transport: Transport): void {
    const { clock } = this.env
    if (this.#state.lane === n) this.counts.reconnects++
    const now = clock.now()
    const r: Running = { lane: undefined as unknown as Lane, transport, opened: false, since: now, useful: false, last: now }
    const lasted = (): boolean => r.useful || (r.opened && clock.now() - r.since > usefulTime)
    const line: Line = {
      env: this.env,
      subs: this.#subs,
      places: new Map(),
      forced: this.#state.forced !== undefined,
      fed: (bytes) => {
        this.counts.bytesIn += bytes
        r.last = clock.now()
      },
      expect: (ms, failure) => {
        clock.clear(r.timer)
        if (ms === Infinity) return
        r.last = clock.now()
        const look = (): void => {
          const left = r.last + ms - clock.now()
          if (left > 0) r.timer = clock.set(look, left)
          else line.failed(failure, lost(`nothing came over ${transport} for ${ms / 1000} s`))
        }
        r.timer = clock.set(look, ms)
      },
      opened: () => {
        if (r.opened) return
        r.opened = true
        this.#dispatch({ type: "opened", lane: n })
        this.#publisher.pump()
      },
      frames: (frames) => {
        for (const f of frames) {
          if (this.#state.lane !== n) return
          this.#frame(line, r, n, f)
        }
      },
      ended: (pace) => this.#dispatch({ type: "ended", lane: n, lasted: lasted(), pace }),
      failed: (failure, error) => {
        this.#lastError = error
        this.#dispatch({ type: "failed", lane: n, lasted: lasted(), failure, error })
      },
    }
    this.#lanes.set(n, r)
    const open = this.transports[transport]
    if (open) r.lane = open(line)
    else {
      r.lane = { sync: () => {}, close: () => {} }
      line.failed("denied", new TwohopError("unsupported", transport + " was not built in", "add it to the list of transports"))
    }
  }

  #frame(line: Line, r: Running, n: number, f: Frame): void {
    if (f.type === "drain") return this.#dispatch({ type: "drain", lane: n, delay: f.delay ?? 0 })
    if (f.id !== undefined && this.#publisher.answered(f)) return
    const sub = this.#subs.get(f.channel!)
    if (f.type === "advice") {
      const advice = { transport: f.transport!, interval: f.interval }
      if (sub) sub.advice = advice
      else if (!f.channel) this.#advice = advice
      this.#weigh()
      return this.#tell()
    }
    if (!sub) return
    if (f.type === "error" && mends(f.code)) return line.failed("lost", told(f))
    const o = deliver(sub, line.places, f)
    if (o.batch) {
      r.useful = true
      this.counts.batches++
      this.counts.records += o.batch.records.length
    }
    if (o.again) {
      this.#again.add(sub.channel)
      this.#schedule()
    }
    if (o.end && this.#subs.get(sub.channel) === sub) this.#end(sub, o.end.error)
  }
}

const closedError = (): Error => new TwohopError("closed", "the client is closed", "connect again")
