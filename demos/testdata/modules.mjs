// Tests of the modules that need no document. They are loaded by their text: in
// the browser what says that they are modules is how the page names them.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'

const load = (path) => import('data:text/javascript,' + encodeURIComponent(readFileSync(new URL(path, import.meta.url), 'utf8')))
const { Sequence } = await load('../shared/sequence.js')
const { Rate, Sample } = await load('../shared/meter.js')
const format = await load('../shared/format.js')
globalThis.WebSocket ??= class {}
const { cuttable } = await load('../shared/cut.js')
const { Sender } = await load('../livecomments/sender.js')

test('a sequence counts what was skipped and what came twice', () => {
  const s = new Sequence()
  const take = (source, n) => s.take({ s: source, n })
  assert.equal(take('a', 7), true) // where counting begins
  assert.equal(take('a', 8), true)
  assert.equal(take('b', 1), true)
  assert.deepEqual([s.records, s.missing, s.twice], [3, 0, 0])
  assert.equal(take('a', 11), true)
  assert.deepEqual([s.missing, s.twice], [2, 0])
  assert.equal(take('a', 11), false)
  assert.equal(take('a', 9), false)
  assert.deepEqual([s.records, s.missing, s.twice], [6, 2, 2])
})

test('a sequence remembers few sources', () => {
  const s = new Sequence()
  for (let i = 0; i < 5000; i++) s.take({ s: `page-${i}`, n: 1 })
  assert.deepEqual([s.missing, s.twice], [0, 0])
})

test('a rate is of its window', () => {
  const r = new Rate(4000)
  assert.equal(r.per(0), 0)
  for (let now = 1000; now < 11_000; now += 100) r.add(25, now)
  assert.ok(Math.abs(r.per(10_950) - 250) < 10, String(r.per(10_950)))
  assert.equal(r.per(60_000), 0)
})

test('percentiles are of the newest values', () => {
  const s = new Sample(10_000, 1000)
  assert.deepEqual(s.percentiles([0.5], 0), [null])
  for (let i = 0; i < 100; i++) s.add(i, 1000)
  assert.deepEqual(s.percentiles([0, 0.5, 0.99], 2000), [0, 50, 99])
  s.add(7, 20_000)
  assert.deepEqual(s.percentiles([0.5, 0.99], 20_000), [7, 7])
  for (let i = 0; i < 10_000; i++) s.add(i, 21_000)
  assert.ok(s.percentiles([0], 21_000)[0] >= 8000)
})

test('numbers read well', () => {
  const cases = [
    [format.short(0), '0'], [format.short(999), '999'], [format.short(1000), '1.0K'], [format.short(34_200), '34K'],
    [format.short(999_499), '999K'], [format.short(999_500), '1.0M'], [format.short(12_400_000), '12M'],
    [format.milliseconds(null).join(''), '–'], [format.milliseconds(0).join(''), '0ms'], [format.milliseconds(3.14).join(''), '3.1ms'],
    [format.milliseconds(12.4).join(''), '12ms'], [format.milliseconds(999.9).join(''), '1.0s'], [format.milliseconds(61_000).join(''), '61s'],
    [format.bytes(512).join(''), '512B/s'], [format.bytes(38_240).join(''), '38.2KB/s'], [format.bytes(2_500_000).join(''), '2.50MB/s'],
    [format.rate(0), '0'], [format.rate(0.33), '0.3'], [format.rate(1240), '1,240'], [format.plural(1, 'gap'), '1 gap'], [format.plural(0, 'gap'), '0 gaps'],
  ]
  for (const [got, want] of cases) assert.equal(got, want)
})

// publisher answers publishes with what is next in its list of outcomes.
function publisher(outcomes) {
  const tried = []
  return {
    tried,
    async publish(channel, record, { idempotencyKey }) {
      tried.push([record.n, record.text, idempotencyKey])
      const outcome = outcomes.shift()
      if (outcome instanceof Error) throw outcome
      return { offset: 'x', durability: 'disk', readers: 2 }
    },
  }
}

const failure = (status) => Object.assign(new Error('no'), { status })

function send(sender, text) {
  return new Promise((resolve) => {
    const heard = []
    sender.send({ text }, (state, what) => {
      heard.push(state)
      if (state !== 'pending') resolve([...heard, what.n])
    })
  })
}

test('a sender keeps number and key through all tries', async () => {
  const to = publisher([failure(undefined), failure(503), null])
  assert.deepEqual(await send(new Sender(to, 'c', 'page-1'), 'hi'), ['pending', 'pending', 'done', 1])
  assert.equal(to.tried.length, 3)
  assert.equal(new Set(to.tried.map((t) => t.join())).size, 1)
})

test('what is refused gives its number back, and the next takes it', async () => {
  const to = publisher([null, failure(413), null])
  const sender = new Sender(to, 'c', 'page-1')
  const ends = await Promise.all([send(sender, 'one'), send(sender, 'two'), send(sender, 'three')])
  assert.deepEqual(ends, [['done', 1], ['refused', undefined], ['done', 2]])
  assert.deepEqual(to.tried.map(([n, text]) => [n, text]), [[1, 'one'], [2, 'two'], [2, 'three']])
})

test('what nobody knows of is given up, and what follows counts under another name', async () => {
  const lost = Object.assign(new Error('no answer'), { code: 'unknown_outcome' })
  const names = []
  const to = publisher([null, lost, lost, null, lost, lost, null])
  let now = 0
  const publish = (channel, record, options) => {
    names.push(record.s)
    now += 150_000
    return to.publish(channel, record, options)
  }
  const sender = new Sender({ publish }, 'c', 'page-1', () => now)
  const ends = await Promise.all(['one', 'two', 'three', 'four', 'five'].map((text) => send(sender, text)))
  assert.deepEqual(ends, [['done', 1], ['pending', 'unknown', undefined], ['done', 1], ['pending', 'unknown', undefined], ['done', 1]])
  assert.deepEqual(to.tried.map(([n]) => n), [1, 2, 2, 1, 2, 2, 1])
  assert.deepEqual(names, ['page-1', 'page-1', 'page-1', 'page-1.2', 'page-1.2', 'page-1.2', 'page-1.3'])
  assert.equal(to.tried[1].join(), to.tried[2].join())
})

test('a cut ends a stream however many requests came after it', async () => {
  const answers = { '/stream': 'text/event-stream', '/publish': 'application/json' }
  const signals = {}
  const before = globalThis.fetch
  globalThis.fetch = async (url, { signal }) => {
    ;(signals[url] ??= []).push(signal)
    return { headers: new Headers({ 'content-type': answers[url] }) }
  }
  try {
    const net = cuttable()
    await net.fetch('/stream')
    for (let i = 0; i < 200; i++) await net.fetch('/publish')
    net.cut()
    assert.equal(signals['/stream'][0].aborted, true)
    assert.equal(signals['/publish'].filter((signal) => signal.aborted).length, 0)
  } finally {
    globalThis.fetch = before
  }
})
