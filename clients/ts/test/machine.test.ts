import assert from "node:assert/strict"
import { test } from "node:test"
import { TwohopError } from "../src/errors.js"
import { blockTime, bound, initial, maxWait, pick, step, table } from "../src/machine.js"
import type { Effect, Event, Name, State } from "../src/machine.js"
import type { Transport } from "../src/types.js"

const error = (retry: boolean, after?: number): TwohopError => new TwohopError("x", "x", "", { retry, after })
const needs: (Transport | undefined)[] = ["ws", "sse", "poll", undefined]

/** Every event that can come in a state; those of a lane for the one that serves, the one beside it, and an old one. */
function events(s: State): Event[] {
  const all: Event[] = [{ type: "timer" }, { type: "close" }, { type: "wake" }]
  for (const online of [true, false]) all.push({ type: online ? "online" : "offline", note: { reachable: online } })
  for (const need of needs) all.push({ type: "need", note: { best: need } })
  for (const forced of [undefined, "ws", "long-poll"] as const) all.push({ type: "force", note: { forced, suspects: [] } })
  for (const lane of new Set([s.lane, s.next, 9999].filter((n) => n))) {
    all.push({ type: "opened", lane }, { type: "drain", lane, delay: 700 })
    for (const lasted of [true, false]) {
      all.push({ type: "ended", lane, lasted, pace: lasted ? 500 : undefined })
      for (const failure of ["lost", "refused", "denied"] as const) {
        all.push({ type: "failed", lane, lasted, failure, error: error(failure === "lost", lasted ? 3000 : undefined) })
      }
    }
  }
  return all
}

const freeze = (s: State): State => {
  Object.values(s).forEach((v) => Object.freeze(v))
  return Object.freeze(s)
}

/** Two states are alike if only numbers differ that no rule looks at. */
const key = (s: State, now: number): string =>
  JSON.stringify({
    ...s, lane: s.lane > 0, next: s.next > 0, lanes: 0, pace: 0, fails: Math.min(s.fails, 1), suspects: [...s.suspects].sort(),
    blocked: Object.entries(s.blocked).map(([t, until]) => [t, until > now, until < Infinity]),
  })

test("every state and event that can come together keeps the invariants", () => {
  const now = 1e6
  const seen = new Map<string, State>()
  const reached = new Map<Name, Set<Event["type"]>>()
  const todo = [initial(), initial("sse"), initial(undefined, { ws: now + 5000 }), initial(undefined, { ws: Infinity })].map(freeze)
  for (const s of todo) seen.set(key(s, now), s)
  let pairs = 0
  for (let s = todo.shift(); s; s = todo.shift()) {
    const from: State = s
    for (const e of events(from)) {
      pairs++
      if (!reached.has(s.phase)) reached.set(s.phase, new Set())
      reached.get(s.phase)!.add(e.type)
      const [t, effects] = step(s, e, now, 0.5)
      freeze(t)
      const check = (ok: boolean): void => void (ok || assert.fail(`${s.phase} + ${JSON.stringify(e)} -> ${t.phase}\n${JSON.stringify(s)}\n${JSON.stringify([t, effects])}`))

      // Lanes: those that are open are those that the state names.
      const lanes: Set<number> = new Set([s.lane, s.next].filter((n) => n))
      let timer: number | undefined | "kept" = "kept"
      for (const f of effects as Effect[]) {
        if (f[0] === "open") lanes.add(f[1])
        if (f[0] === "drop") check(lanes.delete(f[1]))
        if (f[0] === "adopt") check(f[1] === t.lane)
        if (f[0] === "timer") timer = f[1] === Infinity ? undefined : f[1]
      }
      check(String([...lanes].sort()) === String([t.lane, t.next].filter((n) => n).sort()))
      check((t.lane > 0) === (["connecting", "open", "trying"].includes(t.phase)))
      check((t.next > 0) === (t.phase === "trying"))
      check((t.transport !== undefined) === (t.lane > 0))
      check((t.nextTransport !== undefined) === (t.next > 0))

      // A timer is what leads on from where nothing else does.
      if (t.phase === "waiting" && s.phase !== "waiting") check(typeof timer === "number" && timer >= 0)
      if (typeof timer === "number") check(timer <= Math.max(maxWait * 11, blockTime + 1000))
      // What serves is what was picked, or a better one is on its way or has its time.
      if (t.phase === "open" && pick(t, now) !== t.transport && t.transport !== (t.forced ?? t.best) && e.type !== "online" && s.phase !== "open") check(timer !== undefined)
      // Nothing serves and nothing is made: only if nothing is followed.
      if (t.phase === "idle" && !effects.some((f) => f[0] === "end")) check(!t.best || e.type !== "need")
      if (s.phase === "closed") check(t.phase === "closed")
      if (e.type === "close") check(t.phase === "closed")
      if ("lane" in e && e.lane === 9999) check(t === s && !effects.length)
      // Whoever insists on a transport is not given another one to begin with.
      for (const f of effects) if (f[0] === "open" && t.forced) check(f[2] === t.forced)

      const k = key(t, now)
      if (!seen.has(k)) {
        seen.set(k, t)
        todo.push(t)
      }
    }
  }
  // From everywhere, if lanes open and timers fire, something serves.
  for (const from of seen.values()) {
    if (from.phase === "closed" || !from.best) continue
    let s: State = from
    for (let i = 0; i < 4 && s.phase !== "open"; i++) {
      const e: Event = s.phase === "idle" ? { type: "need", note: { best: s.best } }
        : s.next || s.lane ? { type: "opened", lane: s.next || s.lane } : { type: "timer" }
      s = step(s, e, now, 0)[0]
    }
    assert.equal(s.phase, "open", "stuck: " + JSON.stringify(from))
  }
  const cells = Object.values(table).flatMap((row) => Object.keys(row)).length
  const visited = [...reached.values()].reduce((n, r) => n + r.size, 0)
  // No lane is known in idle, waiting and closed, so its events come there from old ones only.
  assert.equal(visited, cells)
  assert.ok(seen.size > 300 && pairs > 5000, `${seen.size} states, ${pairs} pairs`)
})

type Cells = Record<Name, Record<Event["type"], Name>>

// Where each cell leads for the plainest event of its kind: SSE is followed, the lane is
// the one that serves, nothing is blocked, and errors may be mended.
const leads: Cells = {
  idle: {
    need: "connecting", force: "idle", opened: "idle", ended: "idle", failed: "idle", drain: "idle", timer: "idle",
    online: "idle", offline: "idle", wake: "idle", close: "closed",
  },
  connecting: {
    need: "connecting", force: "connecting", opened: "open", ended: "waiting", failed: "waiting", drain: "waiting", timer: "connecting",
    online: "connecting", offline: "connecting", wake: "connecting", close: "closed",
  },
  open: {
    need: "trying", force: "trying", opened: "open", ended: "waiting", failed: "waiting", drain: "waiting", timer: "open",
    online: "trying", offline: "open", wake: "open", close: "closed",
  },
  trying: {
    need: "trying", force: "trying", opened: "trying", ended: "connecting", failed: "connecting", drain: "waiting", timer: "trying",
    online: "trying", offline: "trying", wake: "trying", close: "closed",
  },
  waiting: {
    need: "waiting", force: "connecting", opened: "waiting", ended: "waiting", failed: "waiting", drain: "waiting", timer: "connecting",
    online: "connecting", offline: "waiting", wake: "connecting", close: "closed",
  },
  closed: {
    need: "closed", force: "closed", opened: "closed", ended: "closed", failed: "closed", drain: "closed", timer: "closed",
    online: "closed", offline: "closed", wake: "closed", close: "closed",
  },
}

function at(name: Name): State {
  const s: State = { ...initial(), best: "sse" }
  const followed = step(initial(), { type: "need", note: { best: "sse" } }, 0, 0)[0]
  const open = step(followed, { type: "opened", lane: 1 }, 0, 0)[0]
  switch (name) {
    case "idle":
      return initial()
    case "connecting":
      return followed
    case "open":
      return open
    case "trying":
      return step(open, { type: "need", note: { best: "ws" } }, 0, 0)[0]
    case "waiting":
      return step(open, { type: "ended", lane: 1, lasted: true }, 0, 0)[0]
    case "closed":
      return step(s, { type: "close" }, 0, 0)[0]
  }
}

test("each cell leads where the table of the test says", () => {
  for (const name of Object.keys(leads) as Name[]) {
    const s = at(name)
    assert.equal(s.phase, name)
    const plain: Record<Event["type"], Event> = {
      need: { type: "need", note: { best: "ws" } },
      force: { type: "force", note: { forced: "long-poll", suspects: [] } },
      opened: { type: "opened", lane: s.lane },
      ended: { type: "ended", lane: s.lane, lasted: true },
      failed: { type: "failed", lane: s.lane, lasted: true, failure: "lost", error: error(true) },
      drain: { type: "drain", lane: s.lane, delay: 100 },
      timer: { type: "timer" },
      online: { type: "online", note: { reachable: true } },
      offline: { type: "offline", note: { reachable: false } },
      wake: { type: "wake" },
      close: { type: "close" },
    }
    for (const type of Object.keys(plain) as Event["type"][]) {
      assert.equal(step(s, plain[type], 0, 0)[0].phase, leads[name][type], `${name} + ${type}`)
    }
  }
})

test("waits grow with full jitter, up to a bound, and obey the server", () => {
  const waits: number[] = []
  let s = step(initial(), { type: "need", note: { best: "sse" } }, 0, 0)[0]
  for (let i = 0; i < 8; i++) {
    const [t, effects] = step(s, { type: "failed", lane: s.lane, lasted: false, failure: "lost", error: error(true) }, 0, 1)
    waits.push(effects.find((f) => f[0] === "timer")![1] as number)
    s = step(t, { type: "timer" }, 0, 0)[0]
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
  const wait = (e: Event, random: number): unknown => step(s, e, 0, random)[1].find((f) => f[0] === "timer")![1]
  const lane = s.lane
  assert.equal(wait({ type: "failed", lane, lasted: false, failure: "lost", error: error(true, 3000) }, 0), 3000, "Retry-After")
  assert.equal(wait({ type: "drain", lane, delay: 4321 }, 1), 4321, "drain")
  assert.equal(wait({ type: "ended", lane, lasted: true, pace: 250 }, 1), 250, "retry:")
  assert.equal(bound({ ...s, fails: 0 }), 1000)
})

test("a transport is blocked only if a lower one opens", () => {
  const begin = step(initial(), { type: "need", note: { best: "ws" } }, 0, 0)[0]
  const refused = (s: State): State => step(s, { type: "failed", lane: s.lane, lasted: false, failure: "refused", error: error(true) }, 0, 0)[0]
  const sse = refused(begin)
  assert.equal(sse.transport, "sse")
  const poll = refused(sse)
  assert.equal(poll.transport, "long-poll")
  const [open, effects] = step(poll, { type: "opened", lane: poll.lane }, 0, 0)
  assert.deepEqual(open.blocked, { ws: blockTime, sse: blockTime })
  assert.ok(effects.some((f) => f[0] === "remember"))
  const [down] = step(sse, { type: "failed", lane: sse.lane, lasted: false, failure: "lost", error: error(true) }, 0, 0)
  assert.deepEqual([down.blocked, down.suspects], [{}, []], "the server is down: the WebSocket may be fine")
})
