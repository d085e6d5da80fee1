// The page: follows three channels of one server over one connection, and
// publishes to two. Everything it shows came through them.
import { connect } from '/twohop.js'
import { $, make, painter, text } from '/demos/shared/dom.js'
import * as format from '/demos/shared/format.js'
import { cuttable } from '/demos/shared/cut.js'
import { Link } from '/demos/shared/link.js'
import { Sequence } from '/demos/shared/sequence.js'
import { Crowd } from './crowd.js'
import { Feed } from './feed.js'
import { Floats } from './floats.js'
import { image, kinds, names } from './icons.js'
import { Sender } from './sender.js'
import { Stage } from './stage.js'

const prefix = 'demos/live-comments/'
const me = 'page-' + crypto.getRandomValues(new Uint32Array(1))[0].toString(16).padStart(8, '0')
const came = Date.now()
const clock = { offset: 0, roundTrip: Infinity } // of the server, against this device

const net = cuttable()
const client = connect({ transport: 'auto', fetch: net.fetch, WebSocket: net.WebSocket })

// --- what is on the page

const stage = new Stage($('scene'))
const floats = new Floats($('floats'))
const feed = new Feed($('comments'), {
  newest: $('newest'), empty: $('empty'), rate: $('rate'), moreNow: $('more-now'), moreAll: $('more-all'),
})
const link = new Link($('link'), { client, chip: $('chip'), budget: 250, setBudget: (ms) => follow(ms) })
const crowd = new Crowd({
  ask,
  onDrop() {
    net.cut()
    outage.begin()
  },
})

const announce = (words) => text($('announce'), words)

// --- comments

const sequences = { comments: new Sequence(), reactions: new Sequence(), state: new Sequence() }
const comments = new Sender(client, prefix + 'comments', me)

const valid = (record) => record && typeof record.s === 'string' && Number.isSafeInteger(record.n) && typeof record.t === 'number'
const clip = (value, most) => (typeof value === 'string' ? value.slice(0, most) : '')

function tookComments({ records }) {
  const now = Date.now()
  const lags = []
  const old = []
  for (const record of records) {
    if (!valid(record) || !sequences.comments.take(record)) continue
    const comment = { name: clip(record.name, 24) || 'Somebody', text: clip(record.text, 200), person: record.s.startsWith('page-') }
    if (record.t < came - clock.offset) {
      old.push(comment)
      continue
    }
    lags.push(now + clock.offset - record.t)
    if (mine(record)) feed.add(comment, { shown: true })
    else feed.add(comment)
  }
  if (old.length) feed.old(old)
  link.took(lags, Object.values(sequences))
}

$('name').value = remembered()
$('compose').addEventListener('submit', (event) => {
  event.preventDefault()
  const say = $('say').value.trim()
  if (!say) return
  const name = $('name').value.trim() || 'Guest'
  remember($('name').value.trim())
  $('say').value = ''
  const fate = feed.own({ name, text: say })
  said(navigator.onLine ? 'Sending.' : 'Offline. It goes out, once, when the network is back.')
  comments.send({ name, text: say }, (state, what) => {
    if (state === 'pending') {
      fate('pending', 'waiting for the network')
      said('Not sent yet. It goes out as soon as the server can be reached, once.', 'bad')
    } else if (state === 'unknown') {
      fate('failed', 'maybe sent')
      said('The network was away too long to know whether it was sent. Send it again if it is not there.', 'bad')
    } else if (state === 'refused') {
      fate('failed', 'refused')
      said(`Refused: ${what.message}`, 'bad')
    } else {
      fate('done', what.durability === 'disk' ? 'on disk' : 'received')
      said(`${what.durability === 'disk' ? 'On disk' : 'Received'} after ${format.milliseconds(what.took).join(' ')}${what.readers > 0 ? `, ${format.plural(what.readers, 'live reader')}` : ''}.`, 'good')
    }
  })
})

// mine tells records of this page; see Sender.
function mine({ s }) {
  return s === me || s.startsWith(me + '.')
}

function said(words, kind = '') {
  text($('said'), words)
  $('said').dataset.kind = kind
}

function remembered() {
  try {
    return localStorage.getItem('demo-name') ?? ''
  } catch {
    return '' // storage is off: nothing is remembered
  }
}

function remember(name) {
  try {
    localStorage.setItem('demo-name', name)
  } catch {
    // storage is off
  }
}

// --- reactions: totals up to an offset come with the state, the rest is added here

const totals = Object.fromEntries(kinds.map((kind) => [kind, 0]))
const reactions = new Sender(client, prefix + 'reactions', me)
const buttons = {}
let pressed = {} // on this page, to be sent
const under = {} // sent, and not come back yet
const drawTotals = painter(() => {
  for (const kind of kinds) text(buttons[kind].count, format.short(totals[kind] + (pressed[kind] ?? 0) + (under[kind] ?? 0)))
})

for (const kind of kinds) {
  const count = make('span', {}, '0')
  const button = make('button', { type: 'button', 'aria-label': names[kind] }, image(kind), count)
  button.addEventListener('click', () => {
    pressed[kind] = (pressed[kind] ?? 0) + 1
    floats.add(kind, 1, { own: true })
    drawTotals()
    sendReactions()
  })
  buttons[kind] = { button, count }
  $('react').append(button)
}

let gathering = 0
function sendReactions() {
  gathering ||= setTimeout(() => {
    gathering = 0
    const r = pressed
    pressed = {}
    for (const kind in r) under[kind] = (under[kind] ?? 0) + r[kind]
    reactions.send({ r }, (state) => (state === 'refused' || state === 'unknown') && back(r))
  }, 150)
}

// back takes what came back, or never will, off what is under way.
function back(r) {
  for (const kind in r) under[kind] = Math.max(0, (under[kind] ?? 0) - r[kind])
  drawTotals()
}

function tookReactions({ records }) {
  for (const record of records) {
    if (!valid(record)) continue
    sequences.reactions.take(record)
    for (const kind of kinds) {
      const n = record.r?.[kind]
      if (!Number.isSafeInteger(n) || n <= 0) continue
      totals[kind] += Math.min(n, 10_000)
      if (!mine(record)) floats.add(kind, n)
    }
    if (mine(record)) back(record.r)
  }
  drawTotals()
}

// --- state of the show and the crowd

let begun = false
function tookState({ records }) {
  for (const report of records) {
    if (!valid(report) || !report.crowd) continue
    sequences.state.take(report)
    const fresh = report.t > came - clock.offset - 2000
    crowd.take(report, fresh, Date.now() + clock.offset)
    if (!begun) {
      begun = true
      Object.assign(totals, Object.fromEntries(kinds.map((kind) => [kind, report.totals?.counts?.[kind] ?? 0])))
      followReactions(report.totals?.offset || '-1')
      drawTotals()
    }
    if (!fresh) continue
    text($('readers'), format.count(report.readers))
    stage.set(report.scene, report.energy)
    text($('caption'), captions[report.scene] ?? '')
  }
}

const captions = { verse: 'Harbour Lights, verse', chorus: 'Harbour Lights, chorus', solo: 'Guitar solo', hush: 'Quiet, just a voice', lanterns: 'The lanterns rise', applause: 'Applause' }

// --- what happens while the connection is away

const outage = {
  since: 0,
  begin() {
    this.since ||= Date.now()
  },
  end() {
    const away = Date.now() - this.since
    this.since = 0
    setTimeout(() => announce(`Connected again after ${(away / 1000).toFixed(1)} seconds, ${format.plural(link.gaps, 'gap')}.`), 400)
  },
}

const veils = {
  waiting: ['Reconnecting', 'The connection is gone. What is said meanwhile waits in the log.'],
  offline: ['Offline', 'This device has no network. The page goes on where it was when it is back.'],
  closed: ['The end', 'The connection was closed.'],
}

client.addEventListener('status', () => {
  const { state } = client.status
  if (state === 'waiting' || state === 'offline') outage.begin()
  if (state === 'open' && outage.since) {
    outage.end()
    watch() // it may be another server, which does not know this page
  }
  veil()
})

// veil says over the picture what is wrong, when it lasts.
let veiling = 0
function veil() {
  clearTimeout(veiling)
  const words = veils[client.status.state]
  if (!words) {
    $('veil').hidden = true
    return
  }
  veiling = setTimeout(() => {
    text($('veil-word'), words[0])
    text($('veil-say'), words[1])
    $('veil').hidden = false
    announce(`${words[0]}. ${words[1]}`)
  }, 350)
}

// --- following

const follows = {}
const places = {} // offsets of what was taken last

async function read(name, options, took) {
  const f = client.follow(prefix + name, options)
  follows[name] = f
  try {
    for await (const batch of f) {
      if (follows[name] !== f) return // another took over at its offset
      if (batch.records?.length) took(batch)
      places[name] = batch.offset
      if (name === 'comments') link.inForce(f.budget)
    }
  } catch (error) {
    if (follows[name] === f) said(`Following ended: ${error.message}`, 'bad')
  }
}

let budget = 250
// follow begins, or goes on at the same offsets with another budget.
function follow(ms) {
  budget = ms
  for (const [name, took, from] of [['comments', tookComments, { tailRecords: 40 }], ['state', tookState, { tailRecords: 60 }], ['reactions', tookReactions, null]]) {
    link.inForce(undefined)
    if (!from && !reactionsFrom) continue // the state's first report will tell
    follows[name]?.close()
    const options = places[name] ? { offset: places[name] } : (from ?? { offset: reactionsFrom })
    read(name, { ...options, budget: ms }, took)
  }
}

let reactionsFrom
function followReactions(offset) {
  reactionsFrom = offset
  read('reactions', { offset, budget }, tookReactions)
}

// --- the demo's own address: who watches, what is set

async function ask(what, body) {
  const answer = await fetch(`/demos/live-comments/${what}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), signal: AbortSignal.timeout(10_000) })
  const said = await answer.json().catch(() => ({}))
  if (!answer.ok) throw new Error([said.message ?? `the server answered ${answer.status}`, said.hint].filter(Boolean).join('; '))
  return said
}

async function watch() {
  if (document.hidden) return
  const begin = Date.now()
  try {
    const { now, settings } = await ask('watch', { page: me })
    const end = Date.now()
    if (end - begin <= clock.roundTrip) {
      // The server's clock against this one. A difference that the way there and
      // back explains is none: then it is the same clock.
      const offset = now - (begin + end) / 2
      clock.roundTrip = end - begin
      clock.offset = Math.abs(offset) <= clock.roundTrip / 2 + 1 ? 0 : offset
    }
    crowd.set(settings)
  } catch {
    // The connection's state says it, and the next turn asks again.
  }
}

setInterval(watch, 15_000)
document.addEventListener('visibilitychange', watch)
addEventListener('pagehide', () => navigator.sendBeacon('/demos/live-comments/watch', new Blob([JSON.stringify({ page: me, leave: true })], { type: 'application/json' })))
addEventListener('pageshow', (event) => event.persisted && watch())

$('pause').addEventListener('click', () => {
  const paused = stage.toggle()
  $('pause').setAttribute('aria-pressed', paused)
  $('pause').setAttribute('aria-label', paused ? 'Play the picture' : 'Pause the picture')
})

setInterval(() => link.draw(), 500)
setInterval(painter(() => document.hidden || crowd.draw(Date.now() + clock.offset)), 100)

await watch()
follow(budget)
