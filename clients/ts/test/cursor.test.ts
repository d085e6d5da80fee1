import assert from "node:assert/strict"
import { test } from "node:test"
import { rules, take } from "../src/cursor.js"
import type { Cursor, Place } from "../src/cursor.js"
import type { Frame } from "../src/types.js"
import { offset } from "./world.js"

type Answer = [name: Cursor["phase"], stands: number | undefined, place: number | undefined | "nowhere", deliver?: string, more?: string]

// Each state of a cursor that stands at 5 (or nowhere), each kind of frame, and each
// place where the lane may stand: nowhere, before, at, and beyond the cursor.
const cursors = {
  new: { phase: "live" }, live: { phase: "live", offset: offset(5) }, ended: { phase: "ended", offset: offset(5) },
} satisfies Record<string, Cursor>
const frames = {
  subscribed5: { type: "subscribed", offset: offset(5), upToDate: true },
  data5: { type: "data", offset: offset(5), records: [] },
  data5closed: { type: "data", offset: offset(5), records: [], closed: true },
  data8: { type: "data", offset: offset(8), records: [6, 7, 8] },
  reset2: { type: "reset", offset: offset(2), reason: "ahead" },
  deleted: { type: "reset", offset: offset(0), reason: "deleted" },
  unsubscribed: { type: "unsubscribed", offset: offset(5) },
  error: { type: "error", code: "not_found" },
  stale: { type: "error", code: "not_subscribed" },
  twice: { type: "error", code: "already_subscribed" },
  other: { type: "presence" },
} satisfies Record<string, Frame>
const places: Record<string, Place> = { nowhere: undefined, start: { at: undefined }, p3: { at: offset(3) }, p5: { at: offset(5) }, p6: { at: offset(6) } }

const n = (o: string | undefined): number | undefined => (o === undefined ? undefined : Number(o.split("_")[1]))
const answer = (c: Cursor, p: Place, f: Frame): Answer => {
  const t = take(c, p, f)
  return [t.cursor.phase, n(t.cursor.offset), t.place ? n(t.place.at) : "nowhere", t.deliver, t.again ? "again" : t.end]
}

type Row = Record<keyof typeof frames, Record<keyof typeof places & string, Answer>>
const same = (a: Answer): Record<string, Answer> => ({ nowhere: a, start: a, p3: a, p5: a, p6: a })

test("every state, frame and place has its answer", () => {
  const stays = (c: Cursor["phase"], at: number | undefined): Record<string, Answer> => ({
    nowhere: [c, at, "nowhere", undefined, undefined], start: [c, at, undefined, undefined, undefined], p3: [c, at, 3, undefined, undefined],
    p5: [c, at, 5, undefined, undefined], p6: [c, at, 6, undefined, undefined],
  })
  const again = (at: number | undefined): Answer => ["live", at, "nowhere", undefined, "again"]
  const want: Record<keyof typeof cursors, Row> = {
    live: {
      subscribed5: same(["live", 5, 5, "marks", undefined]),
      data5: { ...same(["live", 5, 5, undefined, undefined]), nowhere: ["live", 5, "nowhere", undefined, undefined], p6: ["live", 5, 6, undefined, undefined] },
      data5closed: { ...same(["ended", 5, 5, "marks", "closed"]), p6: ["ended", 5, 6, "marks", "closed"], nowhere: ["live", 5, "nowhere", undefined, undefined] },
      data8: { ...same(again(5)), nowhere: ["live", 5, "nowhere", undefined, undefined], p5: ["live", 8, 8, "all", undefined] },
      reset2: { ...same(again(5)), nowhere: ["live", 5, "nowhere", undefined, undefined], p5: ["live", 2, 2, "all", undefined] },
      deleted: { ...same(again(5)), nowhere: ["live", 5, "nowhere", undefined, undefined], p5: ["ended", 0, "nowhere", "all", "deleted"] },
      unsubscribed: same(["live", 5, "nowhere", undefined, undefined]),
      error: same(["ended", 5, "nowhere", undefined, "error"]),
      stale: stays("live", 5), twice: same(again(5)), other: stays("live", 5),
    },
    new: {
      subscribed5: same(["live", 5, 5, "marks", undefined]),
      data5: { ...same(again(undefined)), nowhere: ["live", undefined, "nowhere", undefined, undefined], start: ["live", 5, 5, "all", undefined] },
      data5closed: { ...same(again(undefined)), nowhere: ["live", undefined, "nowhere", undefined, undefined], start: ["ended", 5, 5, "all", "closed"] },
      data8: { ...same(again(undefined)), nowhere: ["live", undefined, "nowhere", undefined, undefined], start: ["live", 8, 8, "all", undefined] },
      reset2: { ...same(again(undefined)), nowhere: ["live", undefined, "nowhere", undefined, undefined], start: ["live", 2, 2, "all", undefined] },
      deleted: { ...same(again(undefined)), nowhere: ["live", undefined, "nowhere", undefined, undefined], start: ["ended", 0, "nowhere", "all", "deleted"] },
      unsubscribed: same(["live", undefined, "nowhere", undefined, undefined]),
      error: same(["ended", undefined, "nowhere", undefined, "error"]),
      stale: stays("live", undefined), twice: same(again(undefined)), other: stays("live", undefined),
    },
    ended: {
      subscribed5: stays("ended", 5), data5: stays("ended", 5), data5closed: stays("ended", 5), data8: stays("ended", 5),
      reset2: stays("ended", 5), deleted: stays("ended", 5), unsubscribed: same(["ended", 5, "nowhere", undefined, undefined]),
      error: stays("ended", 5), stale: stays("ended", 5), twice: stays("ended", 5), other: stays("ended", 5),
    },
  }
  let cells = 0
  for (const [c, cursor] of Object.entries(cursors)) {
    for (const [f, frame] of Object.entries(frames)) {
      for (const [p, place] of Object.entries(places)) {
        cells++
        assert.deepEqual(answer(cursor, place, frame), want[c as keyof typeof cursors][f as keyof typeof frames][p], `${c} + ${f} at ${p}`)
      }
    }
  }
  assert.equal(cells, 3 * 11 * 5)
  for (const row of Object.values(rules)) assert.equal(Object.keys(row).length, 5)
})

// However many lanes read one log, from wherever, in whatever batches, and however often
// each of them is made anew: each record comes once, in order.
test("lanes that overlap in any way give each record once", () => {
  for (let seed = 1; seed <= 300; seed++) {
    let x = seed * 2654435761
    const random = (below: number): number => {
      x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) + 0x9e3779b9
      return ((x ^ (x >>> 13)) >>> 0) % below
    }
    let cursor: Cursor = { phase: "live" }
    const got: number[] = []
    const lanes = [0, 1, 2].map(() => ({ place: undefined as Place, reads: -1 }))
    const tail = 40
    for (let i = 0; i < 2000 && (n(cursor.offset) ?? 0) < tail; i++) {
      const lane = lanes[random(3)]!
      let f: Frame
      if (lane.reads < 0 || random(12) === 0) {
        // It subscribes, at the cursor or (a stale request) before it.
        lane.reads = Math.max(0, (n(cursor.offset) ?? 0) - random(4))
        lane.place = undefined
        f = { type: "subscribed", offset: offset(lane.reads), upToDate: false }
      } else {
        const from = lane.reads
        lane.reads = Math.min(tail, from + 1 + random(5))
        f = { type: "data", offset: offset(lane.reads), upToDate: lane.reads === tail, records: Array.from({ length: lane.reads - from }, (_, k) => from + k + 1) }
      }
      const t = take(cursor, lane.place, f)
      cursor = t.cursor
      lane.place = t.place
      if (t.deliver === "all") got.push(...(f.records as number[]))
      if (t.again) lane.reads = -1
    }
    assert.deepEqual(got, Array.from({ length: tail }, (_, k) => k + 1), "seed " + seed)
  }
})
